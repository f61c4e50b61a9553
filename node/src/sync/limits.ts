/** Times (milliseconds) and counts of the sync engine, with the reason for each. */

/** The folder in a placement's root that is ours: temporary files and parked entries, never synced. */
export const TEMP_FOLDER = '.cofolder.tmp'
/** Events of one save come in a burst; an editor's rename dance takes a few milliseconds. */
export const EVENT_DEBOUNCE = 25
/** A file not touched for this long counts as written; a younger one is looked at again. */
export const STABLE_AFTER = 60
/** Longest pause between two looks at a file that keeps changing. */
export const MAX_STABLE_WAIT = 1000
/** A file may be gone for a moment while an editor replaces it, or turn up elsewhere: deletes wait this long. */
export const DELETE_GRACE = 150
/** Deletes that keep coming (`rm -rf`) are looked at together, but not longer than this. */
export const DELETE_MAX_GRACE = 2000
/** inotify loses events silently when its queue overflows (16,384 by default): after so many at once, look at all. */
export const EVENT_FLOOD = 8000
/** So many names of one folder are cheaper to list than to ask for one by one. */
export const SPOTS_BEFORE_LISTING = 200
/** Everything is looked at this often, whatever the watcher says. */
export const FULL_SCAN_INTERVAL = 10 * 60_000
/** Without a watcher: how often everything is looked at. */
export const POLL_INTERVAL = 5_000
/** How often the root is checked for being there; watchers do not tell of an unmounted file system. */
export const ROOT_CHECK_INTERVAL = 2_000
/** First and longest pause before something that failed is tried again; it doubles in between. */
export const RETRY_FIRST = 500
export const RETRY_MAX = 60_000
/** Files fetched at once: enough for small ones to travel in packs, few enough to bound memory. */
export const FETCHES_AT_ONCE = 2048
/** Files hashed and published together: others can start to fetch while the rest is hashed. */
export const DIGEST_WAVE = 1000
/** Steps journalled, carried out and made durable together. */
export const STEPS_AT_ONCE = 512
/** File system calls in flight. */
export const CALLS_AT_ONCE = 32
/** Fewer deletes than this never ask; at or above it, and more than half of all files, they do. */
export const MASS_DELETE_FROM = 10
export const MASS_DELETE_SHARE = 0.5
/** All files of a share gone asks from this many on. */
export const MASS_DELETE_ALL_FROM = 5
/** Deletes count together for the guard within this time. */
export const MASS_DELETE_WINDOW = 60_000
/** Digests kept by fingerprint, so that a file that cannot be published yet is not hashed again and again. */
export const DIGEST_CACHE = 20_000
/** Files from this size (bytes) on are hashed beside everything else. */
export const BACKGROUND_DIGEST_FROM = 16 * 1024 * 1024
