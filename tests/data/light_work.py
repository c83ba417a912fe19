"""Work for other processes; importing it is quick."""

import os


def square(number):
    if number == 13:
        os._exit(1)
    if number < 0:
        raise ValueError(number)
    return number * number
