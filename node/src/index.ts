/** The local app: `startDaemon` runs it in this process; the command line stands in `cli/`. */
export { type Daemon, type DaemonOptions, startDaemon } from './daemon/daemon.ts'
