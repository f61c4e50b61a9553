/** Bounds on what is accepted from peers, with the reason for each. Sizes in bytes unless named otherwise. */

/** UTF-16 units of one name: 255 is what the common file systems take; a little more so that they are shown. */
export const MAX_NAME_LENGTH = 512
/** A symbolic link's target: Linux's PATH_MAX. */
export const MAX_TARGET_LENGTH = 4096
/** Heads one version may join; more are joined in steps. */
export const MAX_PARENTS = 64
/** Segments of one file: the segment size grows so that this suffices for any file. */
export const MAX_SEGMENTS = 1024
/** Records in one batch: bounds the loss when a batch is damaged and the work of opening one. */
export const MAX_BATCH_RECORDS = 512
/** One sealed batch. */
export const MAX_BATCH_BYTES = 1024 * 1024
/** One membership change. */
export const MAX_CHANGE_BYTES = 256 * 1024
/** Files below this size travel in packs; at or above it in segments. */
export const SEGMENTED_FROM = 1024 * 1024
/** Size of a segment unless the file is so large that MAX_SEGMENTS would not do. */
export const SEGMENT_SIZE = 64 * 1024 * 1024
/** One message of the sync, content or mailbox protocols. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024
/** One sealed mailbox envelope. */
export const MAX_ENVELOPE_BYTES = 64 * 1024
