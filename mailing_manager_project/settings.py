"""Settings: what an installation may change comes from the environment (see .env.example)."""

import logging
import sys
from datetime import timedelta
from importlib.util import find_spec

from django.conf import global_settings
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.urls import reverse_lazy
from kombu import Exchange, Queue
from redis.backoff import NoBackoff
from redis.retry import Retry

from mailing_manager_project import log_lines
from mailing_manager_project.environment import (
    BASE_DIR,
    BROKER_FILE,
    OTHER_FILES,
    REDIS_SCHEMES,
    VAR_DIR,
    env,
    file_limit,
    read_address,
    read_choice,
    read_count,
    read_days,
    read_duration,
    read_flag,
    read_frequency,
    read_header_value,
    read_mail_addresses,
    read_networks,
    read_number_or_auto,
    read_positive,
    read_rate,
    read_redis,
    read_time_of_day,
)
from mailing_manager_project.postgres_limits import LINK

# Security

DEBUG = env.bool("DEBUG", default=False)
LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=LOCAL_HOSTS)


def _secret_key() -> str:
    key: str = env.str("SECRET_KEY", default="")
    if key:
        return key
    key_file = VAR_DIR / "secret_key"
    if key_file.is_file():
        return key_file.read_text().strip()
    raise ImproperlyConfigured(
        f"There is no SECRET_KEY in the environment and no {key_file}. "
        "Run 'make run' once (it makes the file) or set SECRET_KEY."
    )


SECRET_KEY = _secret_key()
# Keys of before: what they signed or encrypted is still taken (docs/security.md).
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])

# An installation that answers only to this machine is used over plain HTTP; any other one
# stands behind a proxy that ends TLS and sets X-Forwarded-Proto.
IS_LOCAL = set(ALLOWED_HOSTS) <= set(LOCAL_HOSTS)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = not IS_LOCAL
SECURE_PROXY_SSL_HEADER = None if IS_LOCAL else ("HTTP_X_FORWARDED_PROTO", "https")
# How long browsers refuse plain HTTP, for this name and those below it. Preloading, which puts a
# whole domain into browsers for years, is for its owner to ask for.
SECURE_HSTS_SECONDS = 0 if IS_LOCAL else read_duration("HSTS_SECONDS", 365 * 24 * 3600)
SECURE_HSTS_INCLUDE_SUBDOMAINS = not IS_LOCAL and read_flag("HSTS_SUBDOMAINS", default=True)
SECURE_HSTS_PRELOAD = not IS_LOCAL and read_flag("HSTS_PRELOAD", default=False)
SILENCED_SYSTEM_CHECKS = ["security.W021"]  # asks for preloading
SECURE_REDIRECT_EXEMPT = [r"^health/$", r"^metrics$"]
CSRF_FAILURE_VIEW = "mailing_manager_project.http.refusals.csrf_failure"
CSRF_TRUSTED_ORIGINS = [] if IS_LOCAL else [f"https://{host}" for host in ALLOWED_HOSTS]

# How many proxies stand in front, of which each adds to X-Forwarded-For; None: nobody said so.
TRUSTED_PROXIES = read_count("TRUSTED_PROXIES")

# Applications

INSTALLED_APPS = [
    "axes",
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "corsheaders",
    "csp",
    "django_celery_beat",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "drf_standardized_errors",
    "health_check",
    "knox",
    "rest_framework",
    "timezone_field",
    "toolkit.access",
    "toolkit.console",
    "toolkit.history",
    "toolkit.outbox",
    "toolkit.rest.idempotency",
    "clients",
    "mailings",
    "messages_app",
    "webhooks",
    "reports",
    "mailing_manager_project",  # last: its console dresses the others' admins
]

MIDDLEWARE = [
    "mailing_manager_project.http.request_id.name_requests",
    "mailing_manager_project.http.access_log.log_requests",
    "mailing_manager_project.http.policies.Policies",
    "mailing_manager_project.http.answers.leave_out_bodies",
    "corsheaders.middleware.CorsMiddleware",
    "mailing_manager_project.http.answers.keep_private",
    "mailing_manager_project.http.refusals.refuse_other_hosts",
    "toolkit.rest.fair_use.tell_usage",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "mailing_manager_project.http.answers.CompressAnswers",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "toolkit.access.sessions.SessionLimits",
    "toolkit.console.locale.PersonalLocale",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "toolkit.history.middleware.ActorMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it has to see what a login was answered
]

ROOT_URLCONF = "mailing_manager_project.urls"
WSGI_APPLICATION = "mailing_manager_project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before the packages', which it extends.
        "DIRS": [BASE_DIR / "mailing_manager_project" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    *(
        {"NAME": f"django.contrib.auth.password_validation.{name}"}
        for name in (
            "UserAttributeSimilarityValidator",
            "CommonPasswordValidator",
            "NumericPasswordValidator",
        )
    ),
    {"NAME": "toolkit.access.passwords.FirstPasswordIsReplaced"},
    {"NAME": "toolkit.access.passwords.NewPasswordsEndTokens"},
]
# A session ends so many seconds after its login, and after so many in which nobody did anything.
# Not in a cookie, which whoever has it can read: some messages show a secret, this once.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_IDLE = 3600

# Logins by password, of which there are the console's: who fails so often in a time is locked out
# for as long. API_LOGIN_RATE: failures with one name from one address.

LOGIN_FAILURES, _lock_time = read_frequency("API_LOGIN_RATE", "10/hour") or (10, 3600)
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "toolkit.access.backends.LocalAccounts",
    "django.contrib.auth.backends.ModelBackend",  # sessions and rights; never asked for passwords
]
AXES_HANDLER = "toolkit.access.logins.Limits"
AXES_FAILURE_LIMIT = LOGIN_FAILURES
AXES_COOLOFF_TIME = timedelta(seconds=_lock_time)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # Or an attacker would never let it end.
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "toolkit.access.logins.address_of"
AXES_LOCKOUT_CALLABLE = "toolkit.access.logins.locked_out"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "code"]  # not kept with what failed
AXES_DISABLE_ACCESS_LOG = True  # Logins are lines of the log, and no rows.
AXES_ENABLE_ADMIN = AXES_VERBOSE = False

# Logins by the company's account (OpenID Connect): off without an issuer.

OIDC_ISSUER = read_address("OIDC_ISSUER", "")
OIDC_CLIENT_ID = env.str("OIDC_CLIENT_ID", default="")
OIDC_CLIENT_SECRET = env.str("OIDC_CLIENT_SECRET", default="")
OIDC_SCOPES = env.str("OIDC_SCOPES", default="openid profile email")
OIDC_NAME = env.str("OIDC_NAME", default="")  # on the button
OIDC_USERNAME_CLAIM = env.str("OIDC_USERNAME_CLAIM", default="preferred_username")
OIDC_GROUPS_CLAIM = env.str("OIDC_GROUPS_CLAIM", default="groups")
# {role: the provider's groups that have it}, from the role that may do least to that of most.
OIDC_GROUPS = {
    role: env.list(f"OIDC_{role.upper()}", default=[])
    for role in ("viewers", "operators", "administrators")
}
# Days after a login that a person's API tokens work; 0: as long as they are valid.
OIDC_TOKEN_DAYS = read_days("OIDC_TOKEN_DAYS", 30)
# Whether people may log in by passwords of ours. login_link lets somebody in without.
LOCAL_LOGINS = read_flag("LOCAL_LOGINS", default=True)
# Which of them have to have a second factor, whose codes they are asked for beside.
SECOND_FACTOR = read_choice("SECOND_FACTOR", ("optional", "administrators", "everybody"))
PASSWORD_RESET_TIMEOUT = 600  # seconds that such a link is good

LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")

# Language and time: stored, and served over REST, in English and UTC. The console has each user's
# own (toolkit/console/locale.py).

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ru", "Русский")]
LOCALE_PATHS = [BASE_DIR / "mailing_manager_project" / "locale"]
FORMAT_MODULE_PATH = "mailing_manager_project.formats"
TIME_ZONE = "UTC"
USE_TZ = True

# Static files are served by the application itself, straight from the packages.

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True

# Database

DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{VAR_DIR}/db.sqlite3")}
_database = DATABASES["default"]
if _database["ENGINE"].endswith("sqlite3"):
    _database["NAME"] = str(BASE_DIR / _database["NAME"])
    # A file, because workers in tests are threads and processes of their own.
    _database["TEST"] = {"NAME": str(VAR_DIR / "test.sqlite3")}
    _database["OPTIONS"] = {
        # Write transactions queue for the lock at BEGIN instead of failing half-way.
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,  # seconds
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    _database["CONN_MAX_AGE"] = 60  # seconds
    _database["CONN_HEALTH_CHECKS"] = True
    # What the URL says, such as ?sslmode=require, counts more.
    _database["OPTIONS"] = {**LINK, **_database.get("OPTIONS", {})}
# Files that are uploaded: never under an address, for phone numbers are in them.


def _file_storage() -> dict[str, object]:
    """Return the folder of files, or the bucket where one is named."""
    bucket = env.str("FILES_S3_BUCKET", default="")
    if not bucket:
        modes = {"file_permissions_mode": 0o600, "directory_permissions_mode": 0o700}
        return {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": VAR_DIR / "files", **modes},
        }
    if not find_spec("storages"):
        raise ImproperlyConfigured(
            "FILES_S3_BUCKET is set, and django-storages is not installed. Run "
            "'pip install -r requirements-s3.txt', or leave it empty for VAR_DIR/files."
        )
    # Who may use the bucket is said as for all of boto3: AWS_ACCESS_KEY_ID and so on, or a role.
    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": bucket,
            "endpoint_url": env.str("FILES_S3_ENDPOINT", default="") or None,
            "default_acl": None,  # that of the bucket
            "file_overwrite": False,
        },
    }


STORAGES = {**global_settings.STORAGES, "default": _file_storage()}
# Megabytes of a file that is uploaded, at most.
IMPORT_MAX_MB = int(read_positive("IMPORT_MAX_MB", 100))
# Days after which an import that has ended, and its report, are deleted.
JOB_DAYS = int(read_positive("JOB_DAYS", 30))
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Celery: see docs/adr/0004-no-acks-late.md for what is deliberately absent.


def _broker_url() -> str:
    """Return the broker's address; one of main.py's own counts when none is set."""
    default = BROKER_FILE.read_text() if BROKER_FILE.is_file() else "redis://localhost:6379"
    return env.str("CELERY_BROKER_URL", default="") or default


CELERY_BROKER_URL = _broker_url()
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_EXPIRES = None
CELERY_TASK_DEFAULT_QUEUE = "mailings"
# Listed, so that a worker without -Q serves all of them; -Q only splits the work.
CELERY_TASK_QUEUES = [
    Queue(name, Exchange(name), routing_key=name)
    for name in ("mailings", "messages", "imports", "webhooks")
]
CELERY_TASK_ROUTES = {
    "send_message": {"queue": "messages"},
    "import_clients": {"queue": "imports"},
    "make_statement": {"queue": "imports"},  # It takes a while, and nobody waits for it.
    "deliver_webhooks": {"queue": "webhooks"},
    "send_notices": {"queue": "webhooks"},  # It waits for others' servers, too,
    "send_report": {"queue": "webhooks"},  # and so does this.
}
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 2,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 1,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {}  # RabbitMQ needs none
if CELERY_BROKER_URL.startswith("redis"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "visibility_timeout": 300,
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }
if CELERY_BROKER_URL.startswith("filesystem:"):  # main.py's last resort: queues in files
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(VAR_DIR / "queue"),
        "data_folder_out": str(VAR_DIR / "queue"),
        "control_folder": str(VAR_DIR / "queue"),
        "polling_interval": 0.2,  # seconds
    }
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = CELERY_BROKER_URL.startswith("redis")  # the only one that can
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_SEND_TASK_EVENTS = False
# Ends only tasks with acks_late, of which we have none; said, because Celery warns while it is not.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULER = "mailing_manager_project.beat:Scheduler"
# How late beat may notice a mailing saved meanwhile, in seconds.
CELERY_BEAT_MAX_LOOP_INTERVAL = 1

# The cache has what web processes count together (toolkit/rest/fair_use.py), and nothing else. It
# is the broker's Redis, or another one; where there is none, each process counts by itself.


def _cache() -> dict[str, object]:
    # kombu's name of a socket is another one than redis-py's.
    socket = CELERY_BROKER_URL.replace("redis+socket://", "unix://").partition("?")[0]
    broker = socket if socket.startswith("unix://") else CELERY_BROKER_URL
    address = read_redis("CACHE_URL") or broker
    if not address.startswith(REDIS_SCHEMES):
        return {
            "BACKEND": "toolkit.rest.shared_counts.ProcessCounts",
            "OPTIONS": {"MAX_ENTRIES": 10_000},
        }
    return {
        "BACKEND": "toolkit.rest.shared_counts.RedisCounts",
        "LOCATION": address,
        "KEY_PREFIX": "mailing-manager",
        # A request waits for it this long at most, and does without it then.
        "OPTIONS": {
            "socket_timeout": 0.2,  # seconds
            "socket_connect_timeout": 0.2,
            "retry": Retry(NoBackoff(), 0),
        },
    }


CACHES = {"default": _cache()}

# Sending

MAILING_REPEAT_TIMEOUT = timedelta(seconds=read_positive("MAILING_REPEAT_TIMEOUT", 600))
# Mailings to more clients are launched only when somebody else has approved them; None: never.
MAILING_APPROVAL_ABOVE = read_count("MAILING_APPROVAL_ABOVE")
# Seconds in which a launch can be undone, and by which the start is put off for that.
MAILING_UNDO_SECONDS = read_duration("MAILING_UNDO_SECONDS", 0)
MESSAGE_SENDER_URL = read_address("MESSAGE_SENDER_URL", "https://probe.fbrq.cloud/v1")
MESSAGE_SENDER_CA_FILE = env.str("MESSAGE_SENDER_CA_FILE", default="")
MESSAGE_SENDER_TOKEN = read_header_value("MESSAGE_SENDER_TOKEN")
MESSAGE_SENDER_BACKEND = env.str(
    "MESSAGE_SENDER_BACKEND", default="messages_app.sender.transports.curl.CurlTransport"
)
MESSAGE_SENDER_CONCURRENCY = read_number_or_auto("MESSAGE_SENDER_CONCURRENCY")  # None: auto
# Without a word from the operator, no more than the files that a process may have here.
MESSAGE_SENDER_MAX_CONCURRENCY = read_positive(
    "MESSAGE_SENDER_MAX_CONCURRENCY", max(1, int(min(500, file_limit() - OTHER_FILES)))
)
MESSAGE_SENDER_PROCESSES = read_positive("MESSAGE_SENDER_PROCESSES", 2)
MESSAGE_SENDER_TIMEOUT = read_positive("MESSAGE_SENDER_TIMEOUT", 10)
MESSAGE_SENDER_RATE = read_rate("MESSAGE_SENDER_RATE")
# Days that every change of a message's status can be read again (GET messages/changes/), and that
# counts of it are kept by the minute; older ones are kept by the hour.
LEDGER_DAYS = int(read_positive("LEDGER_DAYS", 14))
# What deliveries note down until the database has it; it must outlive the process.
SPOOL_DIR = VAR_DIR / "spool"
MESSAGE_SENDER_IDEMPOTENT = read_flag("MESSAGE_SENDER_IDEMPOTENT", default=True)

# Days after the end of a mailing after which its messages' phone numbers are forgotten.
MESSAGE_NUMBERS_DAYS = read_days("MESSAGE_NUMBERS_DAYS", 0)  # 0: never

# History

HISTORY_DAYS = read_days("HISTORY_DAYS", 1095)  # 0: for ever
# What has one, by the name that it has there, and the column that names it if that is not its id.
HISTORY_KINDS = {
    "clients": "clients.client",
    "imports": "clients.clientimport",
    "mailings": "mailings.mailing",
    "messages": "messages_app.message",
    "sender": "messages_app.sendingcontrol",
    "webhooks": "webhooks.webhook",
    "recipients": "reports.recipient",
    "users": "auth.user",
    "groups": "auth.group",
    "logins": "axes.accessattempt",
    "tokens": "knox.authtoken.token_key",
    "tasks": "django_celery_beat.periodictask",
    "crontabs": "django_celery_beat.crontabschedule",
    "intervals": "django_celery_beat.intervalschedule",
    "clocks": "django_celery_beat.clockedschedule",
    "suns": "django_celery_beat.solarschedule",
}
# Other packages' models that are recorded whoever saves them, and columns that do not count.
HISTORY_WATCHED = {
    "auth.user": ("last_login", "date_joined"),
    "auth.group": (),
    "knox.authtoken": (),
}

# Webhooks

# Whether they may go to private addresses, and over plain HTTP: any user who may add one can then
# have this host call whatever it reaches.
WEBHOOKS_ALLOW_PRIVATE = read_flag("WEBHOOKS_ALLOW_PRIVATE", default=False)
# Days that deliveries are listed once they are delivered or given up.
WEBHOOKS_LOG_DAYS = int(read_positive("WEBHOOKS_LOG_DAYS", 7))

# Who may read /metrics: who has the token, or asks from an address; where neither is set, nobody.

METRICS_TOKEN = read_header_value("METRICS_TOKEN")
METRICS_ALLOW = read_networks("METRICS_ALLOW")

# E-mail

EMAIL_HOST = env.str("EMAIL_HOST", default="")  # none: nobody is told anything by mail
EMAIL_PORT = int(read_positive("EMAIL_PORT", 25))
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", default="")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD", default="")
EMAIL_USE_TLS = read_flag("EMAIL_USE_TLS", default=False)
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="mailing-manager@localhost")

# Who is told, by e-mail and by a webhook, what keeps messages from being sent.

ALERT_RECIPIENTS = read_mail_addresses("ALERT_RECIPIENTS")
ALERT_WEBHOOK_URL = read_address("ALERT_WEBHOOK_URL", "")

# Who is told each morning what was sent on the day before, besides those whom the console has.

REPORT_RECIPIENTS = read_mail_addresses("REPORT_RECIPIENTS")
REPORT_TIME = read_time_of_day("REPORT_TIME", "08:00")  # by the recipient's clock

# REST

# Seconds after which Postgres gives up a statement of a web request, which then is a 503.
WEB_STATEMENT_TIMEOUT = int(read_positive("WEB_STATEMENT_TIMEOUT", 5))
# Requests in a time, of each token, each user of a session and each address: (number, seconds).
API_RATE = read_frequency("API_RATE", "600/min")
# The largest body, in bytes: room enough to say what is wrong with one of 5 MB.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "toolkit.rest.authentication.StrictTokenAuthentication",
        "toolkit.rest.authentication.LimitedSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["toolkit.rest.permissions.DeedPermissions"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "toolkit.rest.problems.Negotiation",
    "DEFAULT_THROTTLE_CLASSES": ["toolkit.rest.fair_use.FairUse"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["toolkit.rest.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "toolkit.rest.pagination.CursorPages",
    "DEFAULT_FILTER_BACKENDS": ["toolkit.rest.filters.StrictFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "toolkit.rest.schema.Schema",
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "URL_FORMAT_OVERRIDE": None,  # ?format= is a parameter like any other, and there is none.
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
# Frontends of other hosts: their origins, such as https://shop.example.com. They log in by token;
# cookies are not taken from other sites.
CORS_ALLOWED_ORIGINS = env.list("API_CORS_ORIGINS", default=[])
CORS_URLS_REGEX = "^/api/"
CORS_ALLOW_HEADERS = (
    *("accept", "accept-language", "authorization", "content-type", "idempotency-key"),
    *("if-match", "if-none-match", "x-request-id"),
)
CORS_EXPOSE_HEADERS = (
    *("Content-Disposition", "ETag", "Idempotent-Replayed", "Link", "Location"),
    *("RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"),
)
DRF_STANDARDIZED_ERRORS = {
    "EXCEPTION_HANDLER_CLASS": "toolkit.rest.errors.ErrorHandler",
    "EXCEPTION_FORMATTER_CLASS": "toolkit.rest.errors.ErrorFormatter",
    "ERROR_SCHEMAS": {
        "400": "toolkit.rest.schema.BadRequestResponse",
        "409": "toolkit.rest.schema.ConflictResponse",
        "412": "toolkit.rest.schema.ChangedResponse",
        "413": "toolkit.rest.schema.TooLargeResponse",
        "422": "toolkit.rest.schema.KeyReusedResponse",
        "503": "toolkit.rest.schema.UnavailableResponse",
    },
    "ALLOWED_ERROR_STATUS_CODES": [
        *("400", "401", "403", "404", "405", "406", "409", "412", "413", "415", "422", "429"),
        "503",
    ],
}
# How long a token is valid for which nobody says so.
REST_KNOX = {"TOKEN_TTL": timedelta(days=365)}

SPECTACULAR_SETTINGS = {
    "TITLE": "Mailing Manager",
    "DESCRIPTION": "Clients, the mailings sent to them, and what became of every message.\n\n"
    "Every answer has an `X-Request-Id`: yours, if you sent one of up to 128 letters, digits, "
    "dots, dashes and underscores, else a new one. Our log has it, too; name it when you ask "
    "us about a request.\n\n"
    "Errors come as `application/problem+json` (RFC 9457) if you name that in `Accept`, beside or "
    "in place of `application/json`. `Retry-After` says when to repeat a request that may succeed "
    "later. An address of more than 4,000 characters is refused with 414.",
    "VERSION": "1.0.0",
    "SERVERS": [{"url": "/", "description": "Where this document comes from."}],
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": False},
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_standardized_errors.openapi_hooks.postprocess_schema_enums",
        "mailing_manager_project.error_codes.name_error_codes",
        "toolkit.rest.document.suit_generated_clients",
        "webhooks.api.document.describe_events",
    ],
    "ENUM_NAME_OVERRIDES": {
        "JobStatusEnum": "toolkit.jobs.job.Job.Status",
        "MailingStatusEnum": "mailings.models.Mailing.Status",
        "NewMailingStatusEnum": "mailings.api.fields.STATUSES_OF_NEW",
        "MessageStatusEnum": "messages_app.models.Message.Status",
        "MessageErrorCodeEnum": "messages_app.models.ErrorCode",
        "BreakerStateEnum": "messages_app.sending.health.BreakerState",
        "WebhookEventEnum": "webhooks.models.EventName",
        "DeliveryStateEnum": "webhooks.models.Delivery.State",
        # Named here, because drf-spectacular would number them (drf-standardized-errors' docs).
        **{
            name: f"drf_standardized_errors.openapi_serializers.{name}.choices"
            for name in (
                "ValidationErrorEnum",
                "ClientErrorEnum",
                "ServerErrorEnum",
                "ErrorCode401Enum",
                "ErrorCode403Enum",
                "ErrorCode404Enum",
                "ErrorCode405Enum",
                "ErrorCode406Enum",
                "ErrorCode415Enum",
                "ErrorCode429Enum",
            )
        },
    },
}

# The operators' console

UNFOLD = {
    "SITE_TITLE": "Mailing Manager",
    "SITE_HEADER": "Mailing Manager",
    "SITE_SYMBOL": "forward_to_inbox",
    "SITE_FAVICONS": [{"rel": "icon", "href": lambda request: static("favicon.svg")}],
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": [
        lambda request: static("console/console.css"),
        lambda request: static("console/live.css"),
        lambda request: static("console/find.css"),
        lambda request: static("console/tables.css"),
    ],
    "SCRIPTS": [
        lambda request: static("console/time_zone.js"),
        lambda request: static("console/live.js"),
        lambda request: static("console/find.js"),
    ],
    "ACCOUNT": {"navigation": "mailing_manager_project.admin.preferences.account_links"},
    "GLOBAL_CALLBACK": "messages_app.admin.sender.banner",
    "DASHBOARD_CALLBACK": "mailing_manager_project.admin.first_day.home",
    "SIDEBAR": {"navigation": "mailing_manager_project.admin.sidebar.sidebar"},
}

# Logs: one line an event, to standard error, for whatever collects them.

LOG_LEVEL = read_choice("LOG_LEVEL", log_lines.LEVELS)
_forms = ["json", "console"]
if DEBUG or sys.stderr.isatty():
    _forms.reverse()
LOG_FORMAT = read_choice("LOG_FORMAT", _forms)
LOGGING = log_lines.configuration(LOG_FORMAT, LOG_LEVEL)
DJANGO_STRUCTLOG_CELERY_TASK_START_LOG_LEVEL = logging.DEBUG

# Traces: OpenTelemetry's own name of who takes them; empty: there are none.

OTEL_EXPORTER_OTLP_ENDPOINT = read_address("OTEL_EXPORTER_OTLP_ENDPOINT", "")
