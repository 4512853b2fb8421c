/**
 * The errors of this package: a system call that failed is a {@linkcode SystemError}, a request that the kernel
 * rejected a {@linkcode NetlinkError}, a host name without an address a {@linkcode LookupError}, malformed input a {@linkcode DecodeError}, and a wrong argument an
 * {@linkcode ArgumentError}. Anything else that is thrown is a bug.
 *
 * @module
 */

// include/uapi/asm-generic/errno-base.h and errno.h: [name, text of strerror(3)].
const ERRNO: Record<number, readonly [string, string]> = {
  1: ["EPERM", "operation not permitted"],
  2: ["ENOENT", "no such file or directory"],
  3: ["ESRCH", "no such process"],
  4: ["EINTR", "interrupted system call"],
  5: ["EIO", "input/output error"],
  6: ["ENXIO", "no such device or address"],
  7: ["E2BIG", "argument list too long"],
  9: ["EBADF", "bad file descriptor"],
  11: ["EAGAIN", "resource temporarily unavailable"],
  12: ["ENOMEM", "cannot allocate memory"],
  13: ["EACCES", "permission denied"],
  14: ["EFAULT", "bad address"],
  16: ["EBUSY", "device or resource busy"],
  17: ["EEXIST", "file exists"],
  19: ["ENODEV", "no such device"],
  20: ["ENOTDIR", "not a directory"],
  21: ["EISDIR", "is a directory"],
  22: ["EINVAL", "invalid argument"],
  23: ["ENFILE", "too many open files in system"],
  24: ["EMFILE", "too many open files"],
  27: ["EFBIG", "file too large"],
  28: ["ENOSPC", "no space left on device"],
  32: ["EPIPE", "broken pipe"],
  33: ["EDOM", "argument out of domain"],
  34: ["ERANGE", "result out of range"],
  36: ["ENAMETOOLONG", "file name too long"],
  38: ["ENOSYS", "function not implemented"],
  42: ["ENOMSG", "no message of desired type"],
  61: ["ENODATA", "no data available"],
  71: ["EPROTO", "protocol error"],
  74: ["EBADMSG", "bad message"],
  75: ["EOVERFLOW", "value too large for defined data type"],
  84: ["EILSEQ", "invalid byte sequence"],
  88: ["ENOTSOCK", "socket operation on non-socket"],
  89: ["EDESTADDRREQ", "destination address required"],
  90: ["EMSGSIZE", "message too long"],
  92: ["ENOPROTOOPT", "protocol not available"],
  93: ["EPROTONOSUPPORT", "protocol not supported"],
  94: ["ESOCKTNOSUPPORT", "socket type not supported"],
  95: ["EOPNOTSUPP", "operation not supported"],
  97: ["EAFNOSUPPORT", "address family not supported"],
  98: ["EADDRINUSE", "address already in use"],
  99: ["EADDRNOTAVAIL", "cannot assign requested address"],
  100: ["ENETDOWN", "network is down"],
  101: ["ENETUNREACH", "network is unreachable"],
  104: ["ECONNRESET", "connection reset by peer"],
  105: ["ENOBUFS", "no buffer space available"],
  107: ["ENOTCONN", "not connected"],
  110: ["ETIMEDOUT", "connection timed out"],
  111: ["ECONNREFUSED", "connection refused"],
  112: ["EHOSTDOWN", "host is down"],
  113: ["EHOSTUNREACH", "no route to host"],
};

/** The symbolic name of a Linux error number, such as `"EPERM"` for 1; `"errno 999"` for one it does not know. */
export function errnoName(errno: number): string {
  return ERRNO[errno]?.[0] ?? `errno ${errno}`;
}

/** The text of a Linux error number as strerror(3) has it, without a capital: `"operation not permitted"` for 1. */
export function errnoText(errno: number): string {
  return ERRNO[errno]?.[1] ?? `errno ${errno}`;
}

/** Cures for shortages that any call can run into. */
const CURES: Readonly<Record<number, string>> = {
  23: "The system-wide limit on open files is reached: raise fs.file-max (sysctl)",
  24: "This process may not open more files: raise its limit (ulimit -n, or LimitNOFILE= of a systemd unit)",
};

/**
 * What to do about a failure if it is to use an option, which another program may call by another name.
 *
 * @category Errors
 */
export interface Advice {
  /** The text before it. */
  readonly before: string;
  /** What to do: a name that does not change, such as `"software"`. */
  readonly cure: string;
  /** What to do, in the words of this library's options. */
  readonly words: string;
}

/**
 * What is known about a failure besides its number.
 *
 * @category Errors
 */
export interface SystemErrorInit {
  /** What to do about it. */
  hint?: string | Advice | undefined;
  /** The error below this one. */
  cause?: unknown;
}

/**
 * What the kernel reported besides the error number, and what is known about the cure.
 *
 * @category Errors
 */
export interface NetlinkErrorInit extends SystemErrorInit {
  /** The kernel's own message (extended acknowledgement, `NLMSGERR_ATTR_MSG`). */
  extack?: string | undefined;
  /** Offset in the request of the attribute that the kernel rejected, in bytes. */
  extackOffset?: number | undefined;
}

/**
 * A system call that failed. Check {@linkcode SystemError.code}; the message is for people.
 *
 * @category Errors
 */
export class SystemError extends Error {
  /** The class's own name. */
  override readonly name: string = "SystemError";
  /** What was attempted, as a verb phrase: `"join the multicast group packets"`. */
  readonly op: string;
  /** The error number, positive: 1 for `EPERM`. */
  readonly errno: number;
  /** The symbolic name of the error number: `"EPERM"`. */
  readonly code: string;
  /** The reason alone, without what was attempted and what to do about it: `"operation not permitted (EPERM)"`. */
  readonly why: string;
  /** What to do about it, if that is known. */
  readonly hint: string | undefined;
  /** The hint in parts, if it is to use an option. */
  readonly advice: Advice | undefined;

  /** Makes the error of `op` failing with `errno`. */
  constructor(op: string, errno: number, init: NetlinkErrorInit = {}) {
    const code = errnoName(errno);
    const advice = typeof init.hint === "object" ? init.hint : undefined;
    const hint = typeof init.hint === "object" ? `${init.hint.before}${init.hint.words}` : init.hint ?? CURES[errno];
    let why = ERRNO[errno] ? `${errnoText(errno)} (${code})` : code;
    if (init.extack) why += `: ${init.extack}`;
    super(`Cannot ${op}: ${why}${hint ? `. ${hint}` : ""}`, init.cause === undefined ? undefined : { cause: init.cause });
    this.op = op;
    this.errno = errno;
    this.code = code;
    this.why = why;
    this.hint = hint;
    this.advice = advice;
  }
}

/**
 * A request that the kernel rejected, or a netlink socket that failed.
 *
 * @category Errors
 */
export class NetlinkError extends SystemError {
  /** Always `"NetlinkError"`. */
  override readonly name = "NetlinkError";
  /** The kernel's own message about the refusal, if it gave one. */
  readonly extack: string | undefined;
  /** Offset in bytes of the rejected attribute in the request, if the kernel gave it. */
  readonly extackOffset: number | undefined;

  /** Makes the error of `op` failing with `errno`. */
  constructor(op: string, errno: number, init: NetlinkErrorInit = {}) {
    super(op, errno, init);
    this.extack = init.extack;
    this.extackOffset = init.extackOffset;
  }
}

/**
 * A host name that could not be looked up.
 *
 * @category Errors
 */
export class LookupError extends Error {
  /** Always `"LookupError"`. */
  override readonly name = "LookupError";
  /** The host name. */
  readonly host: string;
  /** Why, as getaddrinfo(3) says it: `"ENOTFOUND"`, or `"EPERM"` for a missing permission of Deno. */
  readonly code: string;
  /** What to do about it, if that is known. */
  readonly hint: string | undefined;
  /** Whether it may be temporary, as when no name server answers: false if there certainly is no such host, or no permission to ask. */
  readonly isTemporary: boolean;

  /** Makes the error of looking up `host`. */
  constructor(host: string, code: string, hint?: string) {
    super(`Cannot look up the host name ${host}: ${code}${hint ? `. ${hint}` : ""}`);
    this.host = host;
    this.code = code;
    this.hint = hint;
    this.isTemporary = !LASTING.has(code);
  }
}

/** What getaddrinfo(3) says of names that do not exist or have no address, and the runtimes' words for it; and a missing permission. */
const LASTING: ReadonlySet<string> = new Set(["ENOTFOUND", "ENODATA", "EAI_NONAME", "EAI_NODATA", "EPERM"]);

/**
 * An HTTP request that was refused, got no valid answer, or whose server cannot be trusted.
 *
 * @category Errors
 */
export class HttpError extends Error {
  /** Always `"HttpError"`. */
  override readonly name = "HttpError";
  /** The status of the answer; `undefined` if there was none. */
  readonly status: number | undefined;

  /** Makes the error with this message; `cause` is the error below it. */
  constructor(message: string, status: number | undefined, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.status = status;
  }
}

/**
 * The thread is in another network namespace and cannot return to its own. Whatever it opens from now on, including sockets of the runtime,
 * is in the wrong namespace: end the process, or the Worker. Sockets that were open before are not affected.
 *
 * @category Errors
 */
export class StrandedError extends Error {
  /** Always `"StrandedError"`. */
  override readonly name = "StrandedError";
  /** The namespace that the thread is in, as it was given. */
  readonly netns: string;

  /** Makes the error of a thread that is in `netns`; `cause` is why it cannot leave. */
  constructor(netns: string, cause: SystemError) {
    super(`This thread is stuck in the network namespace ${netns}. ${cause.message}. Nothing is opened any more: end the process`, {
      cause,
    });
    this.netns = netns;
  }
}

/**
 * An invalid argument; nothing was attempted.
 *
 * @category Errors
 */
export class ArgumentError extends Error {
  /** The class's own name. */
  override readonly name: string = "ArgumentError";
  /** The reason alone, without what was attempted; the whole message if that says nothing else. */
  readonly why: string;
  /** The name of the option that is wrong, if known: {@linkcode ArgumentError.why} continues a sentence that begins with it. */
  readonly argument: string | undefined;

  /** Makes the error with this message, of which `why` is the reason alone, about the option `argument`; and perhaps a `cause`. */
  constructor(
    message: string,
    { why = message, argument, ...options }: ErrorOptions & { readonly why?: string; readonly argument?: string } = {},
  ) {
    super(message, options);
    this.why = why;
    this.argument = argument;
  }
}

/** The error that an argument is wrong: the reason follows its name, after what was attempted. */
export function wrongArgument(argument: string, why: string, attempted = ""): ArgumentError {
  return new ArgumentError(`${attempted}${argument} ${why}`, { why, argument });
}

/**
 * Malformed input.
 *
 * @category Errors
 */
export class DecodeError extends Error {
  /** Always `"DecodeError"`. */
  override readonly name = "DecodeError";
  /** Offset in the bytes at which the problem begins. */
  readonly offset: number;

  /** Makes the error that `what` cannot be decoded at `offset`, because of `why`. */
  constructor(what: string, offset: number, why: string) {
    super(`Cannot decode ${what} at byte ${offset}: ${why}`);
    this.offset = offset;
  }
}

/**
 * Something that the output format cannot express.
 *
 * @category Errors
 */
export class EncodeError extends Error {
  /** Always `"EncodeError"`. */
  override readonly name = "EncodeError";
}
