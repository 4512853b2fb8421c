/**
 * What the packets of a recording turned out to be.
 *
 * @category Recordings
 */
export interface RecordCounts {
  /** Packets read. */
  records: number;
  /** Samples found. */
  samples: number;
  /** Group events found. */
  events: number;
  /** Packets that are neither netlink messages nor samples, in a recording that contains one of them. */
  otherPackets: number;
  /** Netlink messages of other protocols. */
  otherProtocols: number;
  /** Generic netlink messages of other families, and psample's that are neither samples nor events. */
  otherMessages: number;
  /** Packets that the recorder cut; messages before the cut are decoded. */
  truncated: number;
  /** Packets and messages that cannot be decoded. */
  malformed: number;
  /** Records with bytes after their last message that are not a message: libpsample writes its whole buffer. */
  trailing: number;
  /** psample messages before the recording showed the family's number, and too many to be kept until then. */
  lostBeforeFamily: number;
}

/** The counts of a recording of which nothing has been read. */
export const NO_RECORDS: Readonly<RecordCounts> = {
  records: 0,
  samples: 0,
  events: 0,
  otherPackets: 0,
  otherProtocols: 0,
  otherMessages: 0,
  truncated: 0,
  malformed: 0,
  trailing: 0,
  lostBeforeFamily: 0,
};
