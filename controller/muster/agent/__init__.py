"""What runs on a device: fetch, verify, try, confirm, report. It needs no other part of the controller.

Rules of this package: what runs keeps running until something better has proved itself here; every step is written
to the journal before the next one begins; nothing is believed that TUF and the artifact's signature do not vouch for.
"""
