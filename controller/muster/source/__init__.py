"""From git and YAML to kinds, with a place for every complaint; and back: commits, reverts and edits.

Rules of this package: everything that comes in is hostile. Sizes, counts, depths and times are bounded; nothing that
a repository says is executed; no path leaves the tree it was found in.
"""
