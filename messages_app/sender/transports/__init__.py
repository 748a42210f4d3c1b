"""Transports send the requests: their protocol (`base`), with libcurl, with requests."""
