"""Many machines: which camera is served where, kept so when a process or a machine dies. docs/fleet.md."""
