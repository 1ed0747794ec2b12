from django.db.models import F
from django.http import HttpResponse
from django.urls import path

from .models import Account


def deposit(request, name):
    Account.objects.filter(name=name).update(balance=F("balance") + 10)  # could block
    return HttpResponse("done\n")


urlpatterns = [path("deposit/<name>", deposit)]
