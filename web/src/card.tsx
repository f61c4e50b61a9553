import { useEffect, useState } from 'react'
import { renderSVG } from 'uqr'
import { Action } from './action.tsx'
import { api } from './api.ts'

/** My contact card as a QR code and as text to copy. */
export function Card() {
  const [card, setCard] = useState<string>()
  useEffect(() => {
    api.card().then(
      (loaded) => setCard(loaded.card),
      () => setCard(undefined), // The page says by itself that the node does not answer.
    )
  }, [])
  if (card === undefined) return null
  return (
    <section aria-labelledby="card">
      <h2 id="card">Your card</h2>
      <p className="small quiet">Who has it can share with you.</p>
      <img
        className="qr"
        alt="Your contact card as a QR code"
        src={`data:image/svg+xml,${encodeURIComponent(renderSVG(card))}`}
      />
      <div className="actions">
        <Action run={() => navigator.clipboard.writeText(card)}>Copy card</Action>
      </div>
    </section>
  )
}
