"""Running a build step so that a hostile one harms nothing, and saying what it tried.

| level      | files                 | network            | other processes | needs of the kernel             |
|------------|-----------------------|--------------------|-----------------|---------------------------------|
| namespaces | nothing else is there | none               | none are there  | user namespaces, seccomp        |
| landlock   | others are refused    | refused            | refused         | Landlock, seccomp               |
| limits     | as its user           | refused by seccomp | as its user     | nothing; seccomp if it is there |

At every level: no new privileges, no capability, a scrubbed environment, one folder of its own, limits on memory,
processor time, file size, processes, open files and output, a wall clock, and the end of all it started when it ends.
Run by root it is no longer root: its user owns no file but those of its folder. At `landlock` names and sizes of files
can still be asked for; at `limits` nothing hides a file.

Rules of this package: it knows nothing of models; `supervisor` and what it imports need the standard library alone,
because they run without an environment; no program but the interpreter is needed. The first to act is a process of our
own, not a function between fork and exec: the controller has threads.
"""
