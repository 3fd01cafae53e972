"""The pure engine: dispatches batches of events to script instances.

It knows no process, socket, file or clock. Lanes, the scratch process, ``trimtab try`` and the tests run it.
"""
