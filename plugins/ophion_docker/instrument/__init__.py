"""Instrumentation of containers: make one again with an OpenTelemetry payload, verify that it reports, or undo it."""
