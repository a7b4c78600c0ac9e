"""What any exhibit of this kind needs, in rooms; imports no exhibit.

Each room imports only rooms above it: `system`, `ngc` (the one module that imports ngc-learn), `data`, `cells`,
`circuit`, `experiment`, then `report` and `library` side by side, `scripts`.
"""
