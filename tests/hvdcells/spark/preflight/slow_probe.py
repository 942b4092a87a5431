"""A question that no executor answers."""


def never_answer(context, argument):
    import threading

    threading.Event().wait(600)
    return {}
