#include "apps/topic_names_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/log.h"
#include "broker/metadata/topic_name.h"

namespace weir::apps {

namespace {

constexpr uint64_t kBytesMax = 64 << 20;
constexpr size_t kIdLength = 22;

Result<void> write_file(runtime::FileSystem& files, const std::string& folder, const std::string& text) {
  const std::string path = folder + "/" + TopicNamesFile::kName, draft = path + ".tmp";
  auto file = files.open(draft, {.write = true, .create = true, .truncate = true});
  if (!file) return std::unexpected(file.error());
  if (auto ok = (*file)->write_at(0, as_bytes(text)); !ok) return ok;
  file->reset();
  return files.rename(draft, path);
}

}  // namespace

std::string topic_names_text(const broker::MetadataImage& image) {
  std::string text = "# Which topic a folder belongs to: <topic id>-<partition>. Written by Weir; only for reading.\n";
  for (const broker::TopicPtr& topic : image.sorted_by_name()) {
    fmt::format_to(std::back_inserter(text), "{} {}\n", topic->id().to_string(), topic->name());
  }
  return text;
}

void TopicNamesFile::update(broker::MetadataImagePtr image) {
  next_ = std::move(image);
  if (!std::exchange(waiting_, true)) write();
}

void TopicNamesFile::write_all(runtime::FileSystem& files, const std::vector<std::string>& folders,
                               const broker::MetadataImage& image) {
  const std::string text = topic_names_text(image);
  for (const std::string& folder : folders) {
    if (auto done = write_file(files, folder, text); !done) {
      log_debug("server", "{}/{} could not be written: {}", folder, kName, done.error().message);
    }
  }
}

void TopicNamesFile::finish() {
  if (const auto image = std::exchange(next_, nullptr)) write_all(files_, folders_, *image);
}

void TopicNamesFile::write() {
  auto work = [files = &files_, folders = folders_, image = std::exchange(next_, nullptr)] {
    write_all(*files, folders, *image);
  };
  pool_.submit(std::move(work), loop_, lifetime_.guard([this] {
    loop_.schedule_after(runtime::kSecond, lifetime_.guard([this] {
      if (next_) write();
      else waiting_ = false;
    }));
  }));
}

std::map<TopicId, std::string> read_topic_names(runtime::FileSystem& files, const std::string& folder) {
  std::map<TopicId, std::string> names;
  auto file = files.open(folder + "/" + TopicNamesFile::kName, {});
  if (!file) return names;
  auto size = (*file)->size();
  if (!size || *size > kBytesMax) return names;
  std::string text(*size, '\0');
  auto read = (*file)->read_at(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
  if (!read) return names;
  text.resize(*read);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    if (line.size() <= kIdLength + 1 || line[kIdLength] != ' ') continue;
    const auto id = Uuid::parse(line.substr(0, kIdLength));
    const std::string_view name = line.substr(kIdLength + 1);
    if (id && !broker::topic_name_fault(name)) names.emplace(*id, name);
  }
  return names;
}

}  // namespace weir::apps
