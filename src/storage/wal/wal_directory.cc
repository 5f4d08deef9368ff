#include "storage/wal/wal_directory.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/buffer.h"
#include "base/check.h"
#include "base/log.h"

namespace weir::storage {
namespace {

constexpr uint64_t kFillStep = 1u << 20;

std::string parent_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Creates the directory <log dir>/wal/<shard> and makes its name durable up to the log directory, which exists.
Result<void> create_directory(runtime::FileSystem& files, const std::string& path) {
  const std::string wal = parent_of(path);
  if (auto made = files.create_directory(wal); !made) return made;
  if (auto made = files.create_directory(path); !made) return made;
  if (auto synced = files.sync_directory(wal); !synced) return synced;
  return files.sync_directory(parent_of(wal));
}

}  // namespace

// The work of one prepare(), in steps on the pool. The loop does not touch it while a step is under way.
struct WalDirectory::Preparation {
  runtime::FileSystem* files;
  std::string directory;
  std::string temporary;
  std::string final_name;
  std::string spare;  // empty: a new file
  WalFileHeader header;
  WalFileRegister* file_register;
  Function<void(Result<WalFileHeader>)> done;

  Buffer zeros;
  std::unique_ptr<runtime::File> file;
  uint64_t filled = 0;
  bool complete = false;  // under its name, durably
  bool finished = false;
  Result<void> outcome;

  void step() {
    outcome = complete ? note() : file ? fill_or_finish() : open();
    if (outcome) return;
    finished = true;
    if (complete) return;  // perhaps the register knows the file all the same: then it must stay
    // Nothing stays behind: on a full disk every try would cost another file.
    file.reset();
    if (auto removed = files->remove(temporary); !removed && removed.error().code != ErrorCode::kNotFound) {
      log_warn("wal", "Cannot remove {}: {}", temporary, removed.error().message);
    }
  }

 private:
  Result<void> open() {
    if (auto made = create_directory(*files, directory); !made) return made;
    runtime::OpenFlags flags{.write = true, .create = true, .truncate = true, .direct = true};
    if (!spare.empty()) {
      if (auto renamed = files->rename(spare, temporary); !renamed) return renamed;
      if (auto synced = files->sync_directory(directory); !synced) return synced;
      flags.create = flags.truncate = false;
    }
    auto opened = files->open(temporary, flags);
    if (!opened) return std::unexpected(opened.error());
    file = std::move(*opened);
    if (!spare.empty()) {
      filled = header.file_bytes;
      return {};
    }
    return file->allocate(header.file_bytes);
  }

  Result<void> fill_or_finish() {
    if (filled < header.file_bytes) {
      const uint64_t length = std::min(kFillStep, header.file_bytes - filled);
      if (!zeros) {
        zeros = Buffer::allocate(length);
        std::memset(zeros.data(), 0, length);
      }
      auto written = file->write_at(filled, Bytes(zeros.data(), length));
      if (written) filled += length;
      return written;
    }
    Buffer block = Buffer::allocate(kWalBlock);
    encode_file_header(header, block.data());
    if (auto written = file->write_at(0, Bytes(block.data(), kWalBlock)); !written) return written;
    if (auto synced = file->sync(); !synced) return synced;
    file.reset();
    if (auto renamed = files->rename(temporary, final_name); !renamed) return renamed;
    if (auto synced = files->sync_directory(directory); !synced) return synced;
    complete = true;
    return {};
  }

  Result<void> note() {
    if (file_register) {
      auto noted = file_register->note_wal_file(header.shard, header.identity.generation);
      if (!noted) return noted;
    }
    finished = true;
    return {};
  }
};

WalDirectory::WalDirectory(runtime::FileSystem& files, runtime::Loop& loop, runtime::Pool& pool, Options options)
    : files_(files),
      loop_(loop),
      pool_(pool),
      options_(std::move(options)),
      ordering_key_(0x77616c00'00000000ull | options_.shard),
      self_(std::make_shared<WalDirectory*>(this)),
      next_generation_(options_.next_generation) {
  take_leftovers();
}

WalDirectory::~WalDirectory() { *self_ = nullptr; }

void WalDirectory::take_leftovers() {
  std::vector<std::string> useless;
  for (const Leftover& file : options_.leftovers) {
    // A spare had a .wal name once, so it is complete. A .tmp may be incomplete.
    const bool complete = file.name.kind == WalFileKind::kSpare && file.bytes == options_.file_bytes;
    if (complete && spares_.size() < options_.kept_spares) {
      spares_.push_back(file.name.generation);
    } else {
      useless.push_back(path_of(file.name.generation, file.name.kind));
    }
  }
  if (useless.empty()) return;
  pool_.submit(
      [files = &files_, useless = std::move(useless)] {
        for (const std::string& path : useless) {
          auto removed = files->remove(path);
          if (!removed) log_warn("wal", "Cannot remove unused file {}: {}", path, removed.error().message);
        }
      },
      loop_, [] {}, ordering_key_);
}

void WalDirectory::prepare(uint64_t bytes, ChunkNumber durable_before, Function<void(Result<WalFileHeader>)> done) {
  WEIR_CHECK(!preparing_);
  preparing_ = true;
  auto job = std::make_shared<Preparation>();
  job->files = &files_;
  job->directory = options_.path;
  job->file_register = options_.file_register;
  job->done = std::move(done);
  if (unnoted_) {
    job->header = *std::exchange(unnoted_, std::nullopt);
    job->complete = true;
    return advance(std::move(job));
  }
  const uint64_t generation = next_generation_++;
  job->temporary = path_of(generation, WalFileKind::kPreparing);
  job->final_name = path_of(generation);
  if (bytes <= options_.file_bytes && !spares_.empty()) {
    bytes = options_.file_bytes;
    job->spare = path_of(spares_.front(), WalFileKind::kSpare);
    spares_.erase(spares_.begin());
  }
  job->header = {.identity = {options_.incarnation, generation, loop_.random().next()},
                 .shard = options_.shard,
                 .recycled = !job->spare.empty(),
                 .file_bytes = bytes,
                 .durable_before = durable_before};
  advance(std::move(job));
}

void WalDirectory::advance(std::shared_ptr<Preparation> job) {
  Preparation* work = job.get();
  pool_.submit([work, keep = job] { work->step(); }, loop_,
               [self = self_, job = std::move(job)]() mutable {
                 WalDirectory* directory = *self;
                 if (!directory) return;
                 if (!job->finished) return directory->advance(std::move(job));
                 directory->preparing_ = false;
                 if (job->outcome) {
                   job->done(job->header);
                 } else {
                   if (job->complete) directory->unnoted_ = job->header;
                   job->done(std::unexpected(job->outcome.error()));
                 }
               },
               ordering_key_);
}

void WalDirectory::retire(uint64_t generation, uint64_t bytes) {
  retired_.push_back({generation, bytes});
  if (!retiring_) retire_next();
}

void WalDirectory::retire_next() {
  if (retired_.empty()) return;
  retiring_ = true;
  const Retired front = retired_.front();
  const bool keep = front.bytes == options_.file_bytes && spares_.size() < options_.kept_spares;
  auto outcome = std::make_shared<Result<void>>();
  auto work = [files = &files_, outcome, keep, directory = options_.path, from = path_of(front.generation),
               to = path_of(front.generation, WalFileKind::kSpare), file_register = options_.file_register,
               shard = options_.shard, generation = front.generation] {
    if (file_register) *outcome = file_register->forget_wal_file(shard, generation);
    if (!*outcome) return;
    *outcome = keep ? files->rename(from, to) : files->remove(from);
    if (!*outcome && outcome->error().code == ErrorCode::kNotFound) *outcome = {};  // an earlier try got this far
    if (*outcome) *outcome = files->sync_directory(directory);
  };
  pool_.submit(
      std::move(work), loop_,
      [self = self_, outcome, keep] {
        WalDirectory* directory = *self;
        if (!directory) return;
        directory->retiring_ = false;
        if (!*outcome) {
          log_warn("wal", "Cannot take back a released file in {}: {}; it stays until the next try", directory->options_.path,
                   outcome->error().message);
          return;
        }
        if (keep) directory->spares_.push_back(directory->retired_.front().generation);
        directory->retired_.pop_front();
        directory->retire_next();
      },
      ordering_key_);
}

}  // namespace weir::storage
