"""History: who did what to what, when, and what it was before. It knows no domain.

Services call `recording.record_deed` in the transaction of the change. `toolkit.rest.history` and
`toolkit.console.history` show it. The rules and their reasons are in docs/adr/0032-history.md.
"""
