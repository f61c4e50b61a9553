/** Which folders may become placements. Pure but for asking the file system what is there. */
import { mkdir, stat } from 'node:fs/promises'
import { isAbsolute, parse, relative, resolve, sep } from 'node:path'
import { RequestError } from './errors.ts'

function contains(outer: string, inner: string): boolean {
  const way = relative(outer, inner)
  return way === '' || (!way.startsWith(`..${sep}`) && way !== '..' && !isAbsolute(way))
}

/** Refuses folders that overlap another placement or the profile. @throws RequestError */
export function checkPlacement(root: string, others: readonly string[], home: string): void {
  if (root === parse(root).root)
    throw new RequestError('invalid', 'a whole disk cannot be shared: choose a folder in it')
  if (contains(root, home) || contains(home, root)) {
    throw new RequestError(
      'invalid',
      `${root} and Cofolder's own folder ${home} contain each other: choose another folder`,
    )
  }
  for (const other of others) {
    if (contains(root, other) || contains(other, root)) {
      throw new RequestError(
        'conflict',
        `${root} overlaps ${other}, which is shared already: choose another folder`,
      )
    }
  }
}

/** The absolute path of an existing folder. @throws RequestError */
export async function existingFolder(path: string): Promise<string> {
  const root = resolve(path)
  const found = await stat(root).catch((cause: unknown) => {
    throw new RequestError('not-found', `${root} is not there, or cannot be read`, { cause })
  })
  if (found.isFile())
    throw new RequestError(
      'unavailable',
      'a single file cannot be shared yet: put it into a folder and share that',
    )
  if (!found.isDirectory()) throw new RequestError('invalid', `${root} is no folder`)
  return root
}

/** The absolute path of a folder, made when it is not there. @throws RequestError */
export async function folderFor(path: string): Promise<string> {
  const root = resolve(path)
  try {
    await mkdir(root, { recursive: true })
  } catch (cause) {
    throw new RequestError('invalid', `${root} cannot be made: choose another folder`, { cause })
  }
  return existingFolder(root)
}
