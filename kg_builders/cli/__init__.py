"""The command ``kg-build``: one file a command, imported when it is used."""
