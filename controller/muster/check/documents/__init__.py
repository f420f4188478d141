"""Documents that are held to the fleet: diagrams, playbooks, and the components behind every box.

Text in, findings out. Nothing is rendered, executed or fetched; what the declared subset of Mermaid and Markdown does
not know is a finding, not a guess.
"""
