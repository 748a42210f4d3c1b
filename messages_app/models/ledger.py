"""The ledger: every change of messages' states, and the counts that follow from it.

See docs/adr/0014-ledger.md. An account is the text of `ledger.accounts.Account`.
"""

from django.db import models
from django.db.models.functions import Now

ACCOUNT_LENGTH = 128  # characters of the longest account
ALL_MAILINGS = 0  # stands for a mailing in the balances and totals of all mailings together


class Posting(models.Model):
    """Messages of one mailing that went from one account to another in one statement.

    It is written in the transaction of that statement. `position` is its batch in the order of
    commits, and empty until it is folded into the balances (`ledger.folding`).
    """

    # Without constraint, so that a deleted mailing needs no look at the ledger.
    mailing = models.ForeignKey(
        "mailings.Mailing",
        models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    at = models.DateTimeField(db_default=Now(), help_text="By the database's clock.")
    before = models.CharField(
        max_length=ACCOUNT_LENGTH, help_text="Empty where the messages did not exist before."
    )
    after = models.CharField(
        max_length=ACCOUNT_LENGTH, help_text="Empty where the messages exist no more."
    )
    number = models.BigIntegerField(help_text="How many messages.")
    message_ids = models.BinaryField(
        help_text="Their ids, 8 bytes each; empty where a count was only corrected."
    )
    position = models.BigIntegerField(null=True)

    class Meta:
        indexes = (
            models.Index(
                fields=("mailing",),
                condition=models.Q(position=None),
                name="posting_unfolded_idx",
            ),
            models.Index(
                fields=("position", "id"),
                condition=models.Q(position__isnull=False),
                name="posting_position_idx",
            ),
        )

    def __str__(self) -> str:
        return f"{self.number} messages of mailing {self.mailing_id}: {self.before} → {self.after}"


class Balance(models.Model):
    """How many messages of a mailing are on one account, by all folded postings.

    Rows of mailing ALL_MAILINGS are the sums of all mailings.
    """

    mailing_id = models.BigIntegerField()
    account = models.CharField(max_length=ACCOUNT_LENGTH)
    number = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("mailing_id", "account"), name="balance_once_per_account"
            ),
        )

    def __str__(self) -> str:
        return f"{self.number} messages of mailing {self.mailing_id}: {self.account}"


class MinuteTotal(models.Model):
    """How many messages of a mailing came to a state within one minute, by folded postings.

    Once it is older than LEDGER_DAYS, `minutes` is 60 and it stands for an hour. Rows of mailing
    ALL_MAILINGS are the sums of all mailings.
    """

    mailing_id = models.BigIntegerField()
    began_at = models.DateTimeField()
    minutes = models.PositiveSmallIntegerField(default=1)
    state = models.CharField(max_length=8)
    error_code = models.CharField(max_length=32)
    number = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("mailing_id", "began_at", "minutes", "state", "error_code"),
                name="minute_total_once_per_state",
            ),
        )

    def __str__(self) -> str:
        return f"{self.number} messages of mailing {self.mailing_id}: {self.state} {self.began_at}"


class LedgerHead(models.Model):
    """The last position given to postings. One row, which whoever folds them locks."""

    position = models.BigIntegerField(default=0)
    # The last heartbeat of an earlier version that open mailings were taken out for.
    former_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=models.Q(pk=1), name="ledger_head_is_one_row"),
        )

    def __str__(self) -> str:
        return f"Position {self.position} of the ledger"
