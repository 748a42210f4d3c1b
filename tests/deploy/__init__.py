"""What is in deploy/, looked through and run: `pytest -m deploy`.

It needs nginx, docker-compose, kubectl and systemd-analyze, which .ci/run installs.
"""
