/** Tells the other members where this device keeps a share; never the path. */
import type { DeviceId, PlacementRecord, ShareDocument } from '@cofolder/protocol'

/**
 * Writes this device's placement record once it is a member's, unless it says so already. A join may take a while to
 * become known. Returns what stops the waiting.
 */
export function tellPlacement(options: {
  share: ShareDocument
  device: DeviceId
  placement: Pick<PlacementRecord, 'where' | 'label' | 'mode'>
  clock: () => number
  onError: (error: Error) => void
}): () => void {
  const { share, device, placement } = options
  let done = false

  function tell(): void {
    if (done || share.role === undefined || !share.keys.epochs.has(share.membership.epoch)) return
    done = true
    const known = share.placements.get(device)
    if (known?.where === placement.where && known.mode === placement.mode && known.label === placement.label)
      return
    try {
      share.write([
        { type: 'placement', device, ...placement, at: Math.max(options.clock(), (known?.at ?? 0) + 1) },
      ])
    } catch (error) {
      options.onError(error instanceof Error ? error : new Error(String(error)))
    }
  }

  // Not within the observer that told us: the document is being changed just then.
  const stop = share.onChange(() => queueMicrotask(tell))
  tell()
  return () => {
    done = true
    stop()
  }
}
