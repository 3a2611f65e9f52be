"""Run Python that a model wrote: see `host` for `run`, `run_many`, `Limits`, `capabilities`.

Who is who: the *host* is this process and knows the right answers; the *keeper*, a fresh
interpreter, is ours too, and holds limits and walls; the *guest*, its child, runs the model's code
inside them. The guest is given the code and the arguments, never an expected value, and what it
says is data: text in the notation of `values`, decoded and compared by the host. A guest that
prints a verdict, leaves early, patches equality or writes to the pipe itself can only say values,
and only the right ones pass; to know those it must have solved the task.

host.py      starts keepers, reads what they pass on; the limits
keeper.py    the fresh interpreter: puts up the walls, forks the guest, ends it
guest.py     runs the code and says what its calls returned
walls.py     namespaces, Landlock, resource limits, capabilities
syscalls.py  the system calls that a guest may make (seccomp)
values.py    the notation of values

keeper, guest, walls, syscalls and values run in the fresh interpreter: standard library only.
"""
