"""Ways to put requests on the wire: what each promises (`base`), libcurl, requests."""
