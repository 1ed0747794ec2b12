import os

import django.apps


class BankConfig(django.apps.AppConfig):
    name = "bank"

    def ready(self):
        # The reloader runs the server in a child; other commands of manage.py need nobody to look into them.
        if os.environ.get("RUN_MAIN"):
            import pystuck
            pystuck.run_server()
