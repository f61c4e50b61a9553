import { useState } from 'react'

/** A button that runs something, is busy meanwhile, and says beside it what went wrong. */
export function Action(props: {
  run: () => Promise<unknown>
  children: React.ReactNode
  main?: boolean
  onDone?: () => void
  /** Asked before it runs, for steps that others notice. */
  question?: string
}) {
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<string>()
  const click = async (): Promise<void> => {
    if (props.question !== undefined && !confirm(props.question)) return
    setBusy(true)
    setProblem(undefined)
    try {
      await props.run()
      props.onDone?.()
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error))
    } finally {
      setBusy(false)
    }
  }
  return (
    <>
      <button
        type="button"
        className={props.main === true ? 'main-action' : ''}
        disabled={busy}
        onClick={() => void click()}
      >
        {props.children}
      </button>
      {problem !== undefined && (
        <span className="problem small" role="alert">
          {problem}
        </span>
      )}
    </>
  )
}
