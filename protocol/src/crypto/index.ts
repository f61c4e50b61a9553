/** The primitives for the platform we run on. */
export { crypto } from '#crypto'
