"""What is sent, to whom, from when to when: mailings, and the three tasks that deliver them.

The only room that sees both a mailing and its messages; how messages go out is messages_app's.
"""
