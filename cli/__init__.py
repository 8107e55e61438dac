"""The `bitwright` command and its settings: each command is a thin call into one folder."""
