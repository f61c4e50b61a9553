import type { CofolderEvent, Share } from './api.ts'
import { ago, verb } from './words.ts'

const SHOWN = 20

/** The newest events, newest first. */
export function Activity({ events, shares }: { events: CofolderEvent[]; shares: Share[] }) {
  const newest = events.toReversed().slice(0, SHOWN)
  return (
    <section aria-labelledby="activity">
      <h2 id="activity">Activity</h2>
      {newest.length === 0 && <p className="quiet small">What others do in your shares appears here.</p>}
      <ul className="rows">
        {newest.map((event) => (
          <li key={`${event.at} ${event.type} ${event.path ?? ''} ${event.share ?? ''}`}>
            <p className="small">
              {event.by && <bdi>{event.by.name}</bdi>} {verb(event)}{' '}
              <bdi>{event.path ?? shares.find((share) => share.id === event.share)?.name ?? ''}</bdi>{' '}
              <time
                className="quiet"
                dateTime={new Date(event.at).toISOString()}
                title={new Date(event.at).toLocaleString()}
              >
                {ago(event.at)}
              </time>
            </p>
          </li>
        ))}
      </ul>
    </section>
  )
}
