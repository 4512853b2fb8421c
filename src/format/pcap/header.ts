/** The numbers of pcap files. Source: draft-ietf-opsawg-pcap. */

export const MAGIC_MICROSECONDS = 0xa1b2c3d4;
export const MAGIC_NANOSECONDS = 0xa1b23c4d;
export const VERSION_MAJOR = 2;
export const VERSION_MINOR = 4;

/** Size of a file's header: u32 magic, u16 version, u16 minor version, 8 bytes of 0, u32 snapshot length, u32 link type. */
export const FILE_HEADER = 24;
/** Size of a record's header: u32 seconds, u32 fraction, u32 captured length, u32 original length. */
export const RECORD_HEADER = 16;

/** The longest packet that tcpdump and Wireshark accept. */
export const SNAPLEN = 262144;

/** Of a libpcap that Alexey Kuznetsov patched, and of netsniff-ng: records have a longer header. */
export const MAGIC_MODIFIED = 0xa1b2cd34;
/** The version of files of another patched libpcap; it has no minor versions. */
export const VERSION_PATCHED = 543;
/** A record's header with u32 interface index, be16 protocol, u8 packet type and padding after it; Red Hat 6.1 has it too. */
export const RECORD_HEADER_MODIFIED = 24;
/** The same with 4 bytes more, of SuSE 6.3. */
export const RECORD_HEADER_SUSE = 28;
/** The usual one with 4 bytes more, of Nokia. */
export const RECORD_HEADER_NOKIA = 20;
