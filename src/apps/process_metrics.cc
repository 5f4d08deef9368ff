#include "apps/process_metrics.h"

namespace weir::apps {

void report_process(const runtime::ProcessUsage& usage, broker::MetricsRegistry::Sink& sink) {
  const auto gauge = [&](const char* name, const char* help, auto value) {
    sink.gauge(name, help, {}, static_cast<double>(value));
  };
  sink.counter("process_cpu_seconds_total", "CPU time of this process.", {}, usage.cpu_seconds);
  gauge("process_resident_memory_bytes", "Memory of this process that is in RAM.", usage.resident_bytes);
  gauge("process_virtual_memory_bytes", "Address space of this process.", usage.virtual_bytes);
  gauge("process_open_fds", "Open file descriptors.", usage.open_fds);
  gauge("process_max_fds", "File descriptors this process may open.", usage.max_fds);
  gauge("process_threads", "Threads of this process.", usage.threads);
  gauge("process_start_time_seconds", "When this process began, Unix time.", usage.start_time_seconds);
  gauge("kafka_server_kafkaserver_linux_disk_read_bytes", "Bytes this process caused to be read from disks.",
        usage.disk_read_bytes);
  gauge("kafka_server_kafkaserver_linux_disk_write_bytes", "Bytes this process caused to be written to disks.",
        usage.disk_written_bytes);
}

}  // namespace weir::apps
