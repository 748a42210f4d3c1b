"""What somebody would take instead of us, doing the same work on the same machine.

`contenders` says who they are and how they are set up; `race` lets one of them send, and kills it;
`packages` installs them; `programs/` is what they run, in an environment of their own. `kannel` is
a contender that is not written in Python, and `get_sandbox` the sender that it can speak to.
"""
