// The manual page in troff, made of the same definition as the help: `weir help --man`.
#pragma once

#include <CLI/App.hpp>
#include <string>

namespace weir::cli {

std::string manual_page(const CLI::App& app);

}  // namespace weir::cli
