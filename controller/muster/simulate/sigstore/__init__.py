"""A whole Sigstore on 127.0.0.1: certificate authority (Fulcio), certificate log, transparency log (Rekor v1 and v2),
timestamp authority (RFC 3161), and an issuer of identity tokens.

For tests and for the demo, which run the real `sigstore` code against it. Everything is really signed and logged; what
it leaves out of the real thing is that its keys live in memory and its log forgets when it stops.

| module         | plays                                                              |
|----------------|--------------------------------------------------------------------|
| `authority`    | Fulcio: certificates of ten minutes; the log that every one is in  |
| `transparency` | Rekor: a Merkle tree, inclusion proofs, checkpoints and promises   |
| `timestamps`   | the timestamp authority                                            |
| `service`      | all of it behind HTTP, its tokens, its trust config                |
"""
