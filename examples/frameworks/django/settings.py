SECRET_KEY = "only for this example"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["bank.apps.BankConfig"]
ROOT_URLCONF = "bank.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "bank.sqlite3", "OPTIONS": {"timeout": 600}}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
