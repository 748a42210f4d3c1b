"""All sending, whatever the mailing: what holds it back (`control`), is it alive (`health`)."""
