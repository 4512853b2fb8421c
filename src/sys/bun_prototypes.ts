/** Prototypes of the functions of libc that the seam calls, as Bun takes them. */

// Byte counts are read as i32, which needs no allocation: Linux moves at most 0x7ffff000 bytes in a call.

/** The functions, by the names that the seam has for them. */
export const SYMBOLS = {
  // int socket(int domain, int type, int protocol)
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  // int bind(int fd, const struct sockaddr *address, socklen_t size)
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  // int connect(int fd, const struct sockaddr *address, socklen_t size)
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  // int getsockname(int fd, struct sockaddr *address, socklen_t *size)
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  // int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  // int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  // ssize_t sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *address, socklen_t size)
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i32" },
  // ssize_t send(int fd, const void *bytes, size_t size, int flags)
  send: { args: ["i32", "ptr", "u64", "i32"], returns: "i32" },
  // int shutdown(int fd, int how)
  shutdown: { args: ["i32", "i32"], returns: "i32" },
  // int recvmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags, struct timespec *timeout)
  recvmmsg: { args: ["i32", "u64", "u32", "i32", "ptr"], returns: "i32" },
  // int sendmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags)
  sendmmsg: { args: ["i32", "u64", "u32", "i32"], returns: "i32" },
  // int close(int fd)
  close: { args: ["i32"], returns: "i32" },
  // int open(const char *path, int flags, mode_t mode)
  open: { args: ["ptr", "i32", "u32"], returns: "i32" },
  // ssize_t read(int fd, void *into, size_t size)
  read: { args: ["i32", "ptr", "u64"], returns: "i32" },
  // ssize_t write(int fd, const void *bytes, size_t size)
  write: { args: ["i32", "ptr", "u64"], returns: "i32" },
  // int statx(int directory, const char *path, int flags, unsigned mask, struct statx *status)
  statx: { args: ["i32", "ptr", "i32", "u32", "ptr"], returns: "i32" },
  // int uname(struct utsname *into)
  uname: { args: ["ptr"], returns: "i32" },
  // int sysinfo(struct sysinfo *into)
  sysinfo: { args: ["ptr"], returns: "i32" },
  // int statfs(const char *path, struct statfs *into)
  statfs: { args: ["ptr", "ptr"], returns: "i32" },
  // int setns(int fd, int type)
  setns: { args: ["i32", "i32"], returns: "i32" },
  // int ftruncate(int fd, off_t size)
  ftruncate: { args: ["i32", "i64"], returns: "i32" },
  // int flock(int fd, int operation)
  flock: { args: ["i32", "i32"], returns: "i32" },
  // int unlink(const char *path)
  unlink: { args: ["ptr"], returns: "i32" },
  // int poll(struct pollfd *fds, nfds_t count, int timeout)
  poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
  // off_t lseek(int fd, off_t offset, int whence)
  lseek: { args: ["i32", "i64", "i32"], returns: "i64" },
  // ssize_t readlink(const char *path, char *into, size_t size)
  readlink: { args: ["ptr", "ptr", "u64"], returns: "i32" },
  // long syscall(long number, ...), for int bpf(int command, union bpf_attr *attributes, unsigned size)
  // and ssize_t getdents64(int fd, void *into, size_t size)
  syscall: { args: ["i64", "i64", "ptr", "u64"], returns: "i32" },
  // struct passwd *getpwnam(const char *name)
  getpwnam: { args: ["ptr"], returns: "ptr" },
  // struct tm *localtime_r(const time_t *time, struct tm *result)
  localtime_r: { args: ["ptr", "ptr"], returns: "ptr" },
  // int ioctl(int fd, unsigned long request, ...), for a pointer
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  // char *getenv(const char *name)
  getenv: { args: ["ptr"], returns: "ptr" },
  // size_t strlen(const char *text)
  strlen: { args: ["ptr"], returns: "u64" },
  // int clock_gettime(clockid_t clock, struct timespec *time)
  clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
  // pid_t getpid(void)
  getpid: { args: [], returns: "i32" },
  // int initgroups(const char *user, gid_t group)
  initgroups: { args: ["ptr", "u32"], returns: "i32" },
  // int setresgid(gid_t real, gid_t effective, gid_t saved)
  setresgid: { args: ["u32", "u32", "u32"], returns: "i32" },
  // int setresuid(uid_t real, uid_t effective, uid_t saved)
  setresuid: { args: ["u32", "u32", "u32"], returns: "i32" },
  // int prctl(int option, unsigned long argument, ...)
  prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
  // int capset(cap_user_header_t header, const cap_user_data_t data)
  capset: { args: ["ptr", "ptr"], returns: "i32" },
  // uid_t geteuid(void)
  geteuid: { args: [], returns: "u32" },
  // int sigaction(int signal, const struct sigaction *action, struct sigaction *old)
  sigaction: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  // sighandler_t signal(int signal, sighandler_t handler)
  signal: { args: ["i32", "u64"], returns: "u64" },
  // int raise(int signal)
  raise: { args: ["i32"], returns: "i32" },
  // int *__errno_location(void)
  __errno_location: { args: [], returns: "ptr" },
};
