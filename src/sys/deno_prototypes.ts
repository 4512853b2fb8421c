/** Prototypes of the functions of libc that the seam calls, as Deno takes them. */

// Addresses are u64 and not "pointer": so no Deno.UnsafePointer is needed, which a grant that is limited to
// libc does not include. A u64 requires a bigint: with a number the call leaves the fast path (20 ns become 300). Byte counts are read as
// i32, which needs no allocation: Linux moves at most 0x7ffff000 bytes in a call.

/** The functions, by the names that the seam has for them. */
export const SYMBOLS = {
  // int socket(int domain, int type, int protocol)
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int bind(int fd, const struct sockaddr *address, socklen_t size)
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int connect(int fd, const struct sockaddr *address, socklen_t size)
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int getsockname(int fd, struct sockaddr *address, socklen_t *size)
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  // int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  // ssize_t sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *address, socklen_t size)
  sendto: { parameters: ["i32", "buffer", "u64", "i32", "buffer", "u32"], result: "i32" },
  // ssize_t send(int fd, const void *bytes, size_t size, int flags)
  send: { parameters: ["i32", "buffer", "u64", "i32"], result: "i32" },
  // int shutdown(int fd, int how)
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  // int recvmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags, struct timespec *timeout)
  recvmmsg: { parameters: ["i32", "u64", "u32", "i32", "u64"], result: "i32" },
  // int sendmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags)
  sendmmsg: { parameters: ["i32", "u64", "u32", "i32"], result: "i32" },
  // int close(int fd)
  close: { parameters: ["i32"], result: "i32" },
  // int open(const char *path, int flags, mode_t mode)
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  // ssize_t read(int fd, void *into, size_t size)
  readNow: { name: "read", parameters: ["i32", "buffer", "u64"], result: "i32" },
  // ssize_t write(int fd, const void *bytes, size_t size)
  write: { parameters: ["i32", "buffer", "u64"], result: "i32" },
  // int statx(int directory, const char *path, int flags, unsigned mask, struct statx *status)
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" },
  // int uname(struct utsname *into)
  uname: { parameters: ["buffer"], result: "i32" },
  // int sysinfo(struct sysinfo *into)
  sysinfo: { parameters: ["buffer"], result: "i32" },
  // int statfs(const char *path, struct statfs *into)
  statfs: { parameters: ["buffer", "buffer"], result: "i32" },
  // int setns(int fd, int type)
  setns: { parameters: ["i32", "i32"], result: "i32" },
  // int ftruncate(int fd, off_t size)
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  // int flock(int fd, int operation)
  flock: { parameters: ["i32", "i32"], result: "i32" },
  // int unlink(const char *path)
  unlink: { parameters: ["buffer"], result: "i32" },
  // int poll(struct pollfd *fds, nfds_t count, int timeout), on this thread
  pollNow: { name: "poll", parameters: ["buffer", "u64", "i32"], result: "i32" },
  // off_t lseek(int fd, off_t offset, int whence)
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  // ssize_t readlink(const char *path, char *into, size_t size)
  readlink: { parameters: ["buffer", "buffer", "u64"], result: "i32" },
  // long syscall(long number, ...), for int bpf(int command, union bpf_attr *attributes, unsigned size)
  // and ssize_t getdents64(int fd, void *into, size_t size)
  syscall: { parameters: ["i64", "i64", "buffer", "u64"], result: "i32" },
  // struct passwd *getpwnam(const char *name)
  getpwnam: { parameters: ["buffer"], result: "u64" },
  // struct tm *localtime_r(const time_t *time, struct tm *result)
  localtime_r: { parameters: ["buffer", "buffer"], result: "u64" },
  // int ioctl(int fd, unsigned long request, ...), for a pointer
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  // char *getenv(const char *name)
  getenv: { parameters: ["buffer"], result: "u64" },
  // size_t strlen(const char *text)
  strlen: { parameters: ["u64"], result: "u64" },
  // int clock_gettime(clockid_t clock, struct timespec *time)
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  // pid_t getpid(void)
  getpid: { parameters: [], result: "i32" },
  // int initgroups(const char *user, gid_t group)
  initgroups: { parameters: ["buffer", "u32"], result: "i32" },
  // int setresgid(gid_t real, gid_t effective, gid_t saved)
  setresgid: { parameters: ["u32", "u32", "u32"], result: "i32" },
  // int setresuid(uid_t real, uid_t effective, uid_t saved)
  setresuid: { parameters: ["u32", "u32", "u32"], result: "i32" },
  // int prctl(int option, unsigned long argument, ...)
  prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
  // int capset(cap_user_header_t header, const cap_user_data_t data)
  capset: { parameters: ["buffer", "buffer"], result: "i32" },
  // uid_t geteuid(void)
  geteuid: { parameters: [], result: "u32" },
  // int sigaction(int signal, const struct sigaction *action, struct sigaction *old)
  sigaction: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  // sighandler_t signal(int signal, sighandler_t handler)
  signal: { parameters: ["i32", "u64"], result: "u64" },
  // int raise(int signal)
  raise: { parameters: ["i32"], result: "i32" },
  // unsigned alarm(unsigned seconds)
  alarm: { parameters: ["u32"], result: "u32" },
  // void *dlsym(void *library, const char *name), which older glibc has in a library of its own
  dlsym: { parameters: ["u64", "buffer"], result: "u64", optional: true },
  // int malloc_trim(size_t keep), which only glibc has
  malloc_trim: { parameters: ["u64"], result: "i32", optional: true },
  // int eventfd(unsigned value, int flags)
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  // int eventfd_write(int fd, uint64_t value)
  eventfd_write: { parameters: ["i32", "u64"], result: "i32" },
  // int eventfd_read(int fd, uint64_t *value)
  eventfd_read: { parameters: ["i32", "buffer"], result: "i32" },
  // int poll(struct pollfd *fds, nfds_t count, int timeout), on a thread of its own
  poll: { parameters: ["buffer", "u64", "i32"], result: "i32", nonblocking: true },
  // int *__errno_location(void)
  __errno_location: { parameters: [], result: "u64" },
  // void *memcpy(void *to, const void *from, size_t size), in two readings
  read: { name: "memcpy", parameters: ["buffer", "u64", "u64"], result: "void" },
  address: { name: "memcpy", parameters: ["buffer", "buffer", "u64"], result: "u64" },
} as const;
