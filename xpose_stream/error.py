"""What a user did or has that cannot work."""


class UserError(Exception):
    """Something that its user can mend. The message is one sentence: what was wrong, where, and what to do.

    Every package has its own kinds of it. Anything else that is raised is a defect of this program.
    """
