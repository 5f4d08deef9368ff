// A callable that is moved, never copied: completion callbacks own buffers and sockets.
#pragma once

#include <functional>

namespace weir {

template <typename Signature>
using Function = std::move_only_function<Signature>;

}  // namespace weir
