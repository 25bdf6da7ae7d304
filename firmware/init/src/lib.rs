//! PID 1: mounts, modules, devices, watchdog, services, supervision, orderly end.
