/** Bounds and times of content transfer. Sizes in bytes, times in milliseconds. */

/** Answers wants of content with a torrent or with the bytes themselves. */
export const CONTENT_PROTOCOL = '/cofolder/content/1'
/** BitTorrent wire of one torrent over a stream, for devices without a direct TCP path. */
export const WIRE_PROTOCOL = '/cofolder/wire/1'

/** Smallest and largest piece of a torrent: small enough to patch a file, large enough to keep info dicts small. */
export const MIN_PIECE_LENGTH = 64 * 1024
export const MAX_PIECE_LENGTH = 4 * 1024 * 1024
/** Pieces a torrent has at most before pieces grow. */
export const WANTED_PIECES = 256
/** One block request: the most that common clients answer. Larger blocks cost less work per byte. */
export const BLOCK_LENGTH = 128 * 1024
/** Block requests open at once on one connection (2 MiB): fills a long line, bounds what the other side holds. */
export const OPEN_BLOCKS = 16
/** One BitTorrent message: a block with its header, or the bit field of a large torrent. */
export const MAX_WIRE_MESSAGE = BLOCK_LENGTH + 1024
/** Bytes waiting to be sent on one connection before it counts as abuse (it asks but does not read). */
export const MAX_UNSENT = 32 * 1024 * 1024
/** An info dict (20 bytes a piece; the largest segment has 16,384 pieces). */
export const MAX_INFO_BYTES = 512 * 1024

/** Small files asked for together: enough to outweigh a torrent's cost, little enough to hold in memory. */
export const MAX_PACK_BYTES = 4 * 1024 * 1024
export const MAX_PACK_FILES = 1000
/** What a holder accepts as one pack. */
export const MAX_ANSWERED_PACK_BYTES = 16 * 1024 * 1024
/** Up to this total the reply carries the bytes itself: a torrent would cost several round trips. */
export const MAX_INLINE_BYTES = 256 * 1024
/** Packs a requester has open at once, and the memory a holder gives to packs. */
export const OPEN_PACKS = 4
export const MAX_SERVED_PACK_BYTES = 64 * 1024 * 1024
/** Requests one device may have open with us before it is told to come back. */
export const MAX_OPEN_REQUESTS = 64
/** Torrents served at once; beyond it a requester is told to come back. */
export const MAX_SERVED_TORRENTS = 512
/** Holders that send one segment together. */
export const MAX_SWARM = 4
/** Segments in transfer at once, per torrent thread: the start of one hides behind another. */
export const OPEN_SEGMENTS_PER_THREAD = 2
/** Info dicts kept from hashing (about 5 KB for 64 MiB). */
export const INFO_CACHE_BYTES = 8 * 1024 * 1024

/** Reads while hashing and copying. */
export const READ_LENGTH = 1024 * 1024
/** Small files hashed by one job of a thread, and jobs ahead of the reader per thread. */
export const DIGEST_BATCH = 64
export const DIGEST_JOBS_AHEAD = 2
/** Large files hashed at once: each spreads over all threads. */
export const LARGE_DIGESTS = 2
/** Up to this size and number files are hashed without waking a thread. */
export const DIGEST_HERE_BYTES = 64 * 1024
export const DIGEST_HERE_FILES = 4

/** How long a holder may take to answer: it may have to hash a large segment first. */
export const ANSWER_TIMEOUT = 60_000
/** A direct connection that takes longer is given up for one over the holder's stream. */
export const CONNECT_TIMEOUT = 1_500
/** How long a device without a direct path is reached over streams before TCP is tried again. */
export const UNREACHABLE_FOR = 10 * 60_000
/** Connected but silent for this long: the connection is dropped and the holder asked again. */
export const STALL_TIMEOUT = 15_000
/** A holder that sent wrong bytes is not asked for that content for this long. */
export const CORRUPT_FOR = 5 * 60_000
/** A holder that is too busy is left alone for this long. */
export const BUSY_FOR = 300
/** Waits between tries when nobody has the content; a wake-up ends them at once. */
export const FIRST_RETRY = 500
export const LAST_RETRY = 30_000
/** A served torrent without connections is unloaded after this; a pack, held in memory, as soon as it was fetched. */
export const SERVE_IDLE = 20_000
export const PACK_IDLE = 100
/** A pack nobody came for. */
export const PACK_UNUSED = 15_000
/** Threads without work end after this: hashing threads start fast, torrent threads take a quarter of a second. */
export const HASH_THREAD_IDLE = 3_000
export const TORRENT_THREAD_IDLE = 15_000
/** Window over which a rate is measured. */
export const RATE_WINDOW = 3_000
