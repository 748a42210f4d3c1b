"""Finding mailings by id, by external id, or by words of their texts."""

import re

from django.db.models import BigIntegerField

from mailings.models import Mailing

NEWEST = 2_000  # mailings whose texts are looked through
# An id as people write it: 71, #71, mailing 71; in Russian, too.
_ID = re.compile(r"(?:(?:mailing|рассылка)\s*)?[#№]?\s*([1-9][0-9]{0,18})", re.IGNORECASE)


def find_mailings(text: str, *, most: int) -> list[Mailing]:
    """Return those of this id or external id, then the newest with all these words in their texts.

    The texts are compared here: SQLite does not know that Д and д are the same letter.
    """
    words = text.casefold().split()
    if not words:
        return []
    present = Mailing.objects.filter(deleted_at=None)
    asked = _ID.fullmatch(text.strip())
    pk = int(asked[1]) if asked else 0
    found = list(present.filter(external_id=text.strip()))
    if 0 < pk <= BigIntegerField.MAX_BIGINT:
        found += present.filter(pk=pk).exclude(pk__in=[each.pk for each in found])
    known = {each.pk for each in found}
    texts = present.order_by("-pk").values_list("pk", "text")[:NEWEST]
    pks = [
        pk
        for pk, written in texts.iterator()
        if all(word in written.casefold() for word in words) and pk not in known
    ][: most - len(found)]
    return found + list(present.filter(pk__in=pks).order_by("-pk"))
