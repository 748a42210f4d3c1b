"""What is sent, to whom, from when to when: mailings, and the three tasks that deliver them.

The only package that sees both a mailing and its messages. How messages are sent: messages_app.
"""
