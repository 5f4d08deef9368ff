#include "storage/sqlite/file_system_vfs.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/check.h"

namespace weir::storage {

namespace {

// Milliseconds from SQLite's epoch, the start of the Julian calendar, to 1970.
constexpr int64_t kUnixEpochJulianMs = 210866760000000;

// Space is reserved ahead, so that small transactions go on when the disk is full: without them nothing could be deleted. SQLite
// checkpoints its write-ahead log at 1,000 pages; the log keeps its blocks.
constexpr uint64_t kLogReserve = 4608 * 1024;
constexpr uint64_t kDatabaseReserve = 512 * 1024;

struct OpenFile {
  FileSystemVfs* owner = nullptr;
  std::unique_ptr<runtime::File> file;
  std::string path;
  uint64_t reserve = 0;           // bytes to have reserved beyond the end
  uint64_t reserved = 0;          // [0, reserved) has blocks, as far as we know
  bool name_not_durable = false;  // the directory's entry may not be durable yet
  bool written = false;           // since the file was last emptied
  bool is_log() const;
};

bool OpenFile::is_log() const { return reserve == kLogReserve; }

// SQLite allocates this and hands it back: its base and our pointer.
struct Handle {
  sqlite3_file base;
  OpenFile* open;
};

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

OpenFile& opened(sqlite3_file* file) { return *reinterpret_cast<Handle*>(file)->open; }

}  // namespace

// The C callbacks SQLite is given.
struct VfsCalls {
  static FileSystemVfs& self(sqlite3_vfs* vfs) { return *static_cast<FileSystemVfs*>(vfs->pAppData); }

  static int failed(FileSystemVfs& vfs, const Error& error, int sqlite_code) {
    vfs.last_error_ = error;
    return error.code == ErrorCode::kNoSpace ? SQLITE_FULL : sqlite_code;
  }

  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* out, int flags, int* out_flags) {
    auto* handle = reinterpret_cast<Handle*>(out);
    handle->base.pMethods = nullptr;
    if (!name) return SQLITE_CANTOPEN;  // temporary files: temp_store is memory, there are none
    FileSystemVfs& owner = self(vfs);
    auto state = std::make_unique<OpenFile>();
    state->owner = &owner;
    state->path = name;
    runtime::OpenFlags how;
    how.write = (flags & SQLITE_OPEN_READWRITE) != 0;
    if (flags & SQLITE_OPEN_CREATE) {
      how.create = true;
      how.exclusive = (flags & SQLITE_OPEN_EXCLUSIVE) != 0;
      // Even if the file exists: a process that was killed may have created it.
      state->name_not_durable = true;
    }
    auto file = owner.files_.open(state->path, how);
    if (!file) return failed(owner, file.error(), SQLITE_CANTOPEN);
    state->file = std::move(*file);
    if (flags & SQLITE_OPEN_WAL) state->reserve = kLogReserve;
    if (flags & SQLITE_OPEN_MAIN_DB) state->reserve = kDatabaseReserve;
    if (state->reserve != 0) {
      auto size = state->file->size();
      if (!size) return failed(owner, size.error(), SQLITE_CANTOPEN);
      reserve_for(*state, *size + 1);  // now: the first write may come when the disk is full
    }
    handle->open = state.release();
    handle->base.pMethods = methods();
    if (out_flags) *out_flags = flags;
    return SQLITE_OK;
  }

  static int remove(sqlite3_vfs* vfs, const char* name, int sync_directory) {
    FileSystemVfs& owner = self(vfs);
    const std::string path = name;
    if (auto done = owner.files_.remove(path); !done) {
      if (done.error().code == ErrorCode::kNotFound) return SQLITE_IOERR_DELETE_NOENT;
      return failed(owner, done.error(), SQLITE_IOERR_DELETE);
    }
    if (!sync_directory) return SQLITE_OK;
    ++owner.syncs_;
    auto synced = owner.files_.sync_directory(directory_of(path));
    return synced ? SQLITE_OK : failed(owner, synced.error(), SQLITE_IOERR_DIR_FSYNC);
  }

  static int access(sqlite3_vfs* vfs, const char* name, int, int* result) {
    FileSystemVfs& owner = self(vfs);
    auto exists = owner.files_.exists(name);
    if (!exists) return failed(owner, exists.error(), SQLITE_IOERR_ACCESS);
    *result = *exists ? 1 : 0;
    return SQLITE_OK;
  }

  static int full_pathname(sqlite3_vfs*, const char* name, int capacity, char* out) {
    const size_t length = std::strlen(name);
    if (length + 1 > static_cast<size_t>(capacity)) return SQLITE_CANTOPEN;
    std::memcpy(out, name, length + 1);
    return SQLITE_OK;
  }

  // SQLite keys nothing secret with this; a fixed sequence keeps simulation runs alike.
  static int randomness(sqlite3_vfs* vfs, int size, char* out) {
    FileSystemVfs& owner = self(vfs);
    for (int i = 0; i < size; ++i) {
      owner.random_state_ = owner.random_state_ * 6364136223846793005ull + 1442695040888963407ull;
      out[i] = static_cast<char>(owner.random_state_ >> 56);
    }
    return size;
  }

  static int sleep(sqlite3_vfs*, int microseconds) { return microseconds; }

  static int current_time_int64(sqlite3_vfs* vfs, sqlite3_int64* out) {
    const FileSystemVfs& owner = self(vfs);
    *out = kUnixEpochJulianMs + (owner.clock_ ? owner.clock_->wall_ms() : 0);
    return SQLITE_OK;
  }

  static int current_time(sqlite3_vfs* vfs, double* out) {
    sqlite3_int64 ms = 0;
    current_time_int64(vfs, &ms);
    *out = static_cast<double>(ms) / 86400000.0;
    return SQLITE_OK;
  }

  static int get_last_error(sqlite3_vfs*, int, char*) { return 0; }

  static int close(sqlite3_file* file) {
    auto* handle = reinterpret_cast<Handle*>(file);
    delete handle->open;
    handle->open = nullptr;
    return SQLITE_OK;
  }

  static int read(sqlite3_file* file, void* into, int size, sqlite3_int64 offset) {
    OpenFile& state = opened(file);
    const size_t wanted = static_cast<size_t>(size);
    auto got = state.file->read_at(static_cast<uint64_t>(offset), {static_cast<uint8_t*>(into), wanted});
    if (!got) return failed(*state.owner, got.error(), SQLITE_IOERR_READ);
    if (*got == wanted) return SQLITE_OK;
    std::memset(static_cast<uint8_t*>(into) + *got, 0, wanted - *got);
    return SQLITE_IOERR_SHORT_READ;
  }

  static int write(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
    OpenFile& state = opened(file);
    const Bytes bytes{static_cast<const uint8_t*>(from), static_cast<size_t>(size)};
    reserve_for(state, static_cast<uint64_t>(offset) + bytes.size());
    auto done = state.file->write_at(static_cast<uint64_t>(offset), bytes);
    state.written = true;
    return done ? SQLITE_OK : failed(*state.owner, done.error(), SQLITE_IOERR_WRITE);
  }

  // Called ahead of a write that goes beyond the reserved space. If the reservation fails, the write shows whether it fits all
  // the same.
  static void reserve_for(OpenFile& state, uint64_t end) {
    if (state.reserve == 0 || end <= state.reserved) return;
    state.reserved = std::max(state.reserve, align_up(end, kDatabaseReserve) + kDatabaseReserve);
    if (!state.file->allocate(state.reserved)) state.reserved = end;
  }

  static int truncate(sqlite3_file* file, sqlite3_int64 size) {
    OpenFile& state = opened(file);
    state.written = false;
    if (state.is_log()) state.owner->log_in_use_ = false;
    auto done = state.file->truncate(static_cast<uint64_t>(size));
    if (!done) return failed(*state.owner, done.error(), SQLITE_IOERR_TRUNCATE);
    state.reserved = 0;
    reserve_for(state, static_cast<uint64_t>(size) + 1);
    return state.is_log() ? sync(file, SQLITE_SYNC_NORMAL) : SQLITE_OK;
  }

  static int sync(sqlite3_file* file, int) {
    OpenFile& state = opened(file);
    ++state.owner->syncs_;
    if (auto done = state.file->sync(); !done) return failed(*state.owner, done.error(), SQLITE_IOERR_FSYNC);
    if (!state.name_not_durable) return synced(state);
    ++state.owner->syncs_;
    auto done = state.owner->files_.sync_directory(directory_of(state.path));
    if (!done) return failed(*state.owner, done.error(), SQLITE_IOERR_DIR_FSYNC);
    state.name_not_durable = false;
    return synced(state);
  }

  static int synced(OpenFile& state) {
    if (state.is_log() && state.written) state.owner->log_in_use_ = true;
    return SQLITE_OK;
  }

  static int file_size(sqlite3_file* file, sqlite3_int64* out) {
    OpenFile& state = opened(file);
    auto size = state.file->size();
    if (!size) return failed(*state.owner, size.error(), SQLITE_IOERR_FSTAT);
    *out = static_cast<sqlite3_int64>(*size);
    return SQLITE_OK;
  }

  static int lock(sqlite3_file*, int) { return SQLITE_OK; }
  static int check_reserved_lock(sqlite3_file*, int* result) {
    *result = 0;
    return SQLITE_OK;
  }
  static int file_control(sqlite3_file* file, int operation, void* argument) {
    if (operation != SQLITE_FCNTL_PERSIST_WAL || !opened(file).owner->keep_log_) return SQLITE_NOTFOUND;
    *static_cast<int*>(argument) = 1;
    return SQLITE_OK;
  }
  static int sector_size(sqlite3_file*) { return 512; }
  // A sector is either old or new after a power cut, so bytes beside a written range never change.
  static int device_characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

  static const sqlite3_io_methods* methods() {
    static const sqlite3_io_methods table = [] {
      sqlite3_io_methods m{};
      m.iVersion = 1;  // no shared memory: the databases are opened with locking_mode=EXCLUSIVE
      m.xClose = close;
      m.xRead = read;
      m.xWrite = write;
      m.xTruncate = truncate;
      m.xSync = sync;
      m.xFileSize = file_size;
      m.xLock = lock;
      m.xUnlock = lock;
      m.xCheckReservedLock = check_reserved_lock;
      m.xFileControl = file_control;
      m.xSectorSize = sector_size;
      m.xDeviceCharacteristics = device_characteristics;
      return m;
    }();
    return &table;
  }
};

FileSystemVfs::FileSystemVfs(runtime::FileSystem& files, const runtime::Clock* clock, bool keep_log)
    : files_(files),
      clock_(clock),
      keep_log_(keep_log),
      name_(fmt::format("weir-{}", static_cast<const void*>(this))),
      vfs_(std::make_unique<sqlite3_vfs>()) {
  WEIR_CHECK(sqlite3_initialize() == SQLITE_OK);
  vfs_->iVersion = 2;
  vfs_->szOsFile = sizeof(Handle);
  vfs_->mxPathname = 4096;
  vfs_->zName = name_.c_str();
  vfs_->pAppData = this;
  vfs_->xOpen = VfsCalls::open;
  vfs_->xDelete = VfsCalls::remove;
  vfs_->xAccess = VfsCalls::access;
  vfs_->xFullPathname = VfsCalls::full_pathname;
  vfs_->xRandomness = VfsCalls::randomness;
  vfs_->xSleep = VfsCalls::sleep;
  vfs_->xCurrentTime = VfsCalls::current_time;
  vfs_->xGetLastError = VfsCalls::get_last_error;
  vfs_->xCurrentTimeInt64 = VfsCalls::current_time_int64;
  WEIR_CHECK(sqlite3_vfs_register(vfs_.get(), 0) == SQLITE_OK);
}

FileSystemVfs::~FileSystemVfs() { sqlite3_vfs_unregister(vfs_.get()); }

}  // namespace weir::storage
