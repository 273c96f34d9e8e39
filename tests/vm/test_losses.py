"""What losses counts: python3 -m unittest discover tests/vm"""

import unittest

from test_run_vm import program

losses = program('losses')


class Pinger(unittest.TestCase):
    ALL = (1 << losses.FLOWS) - 1

    def pinger(self, replies):
        pinger = object.__new__(losses.Pinger)
        pinger.replies = replies
        return pinger

    def test_the_address_that_lost_most_counts(self):
        first, other = self.ALL & ~1, self.ALL & ~2
        pinger = self.pinger([self.ALL, first, first, other, self.ALL])
        self.assertEqual(pinger.lost(0, 5), 2)
        self.assertEqual(pinger.lost(2, 4), 1)
        self.assertEqual(pinger.lost(4, 5), 0)

    def test_it_is_quiet_if_none_is_lost_but_what_may_still_come(self):
        second, quiet = int(1 / losses.INTERVAL), int(losses.QUIET / losses.INTERVAL)
        for lost, is_quiet in (0, True), (1, False), (quiet, False), (quiet + 1, True), (quiet + second, True):
            replies = [self.ALL] * (1 + quiet + second)
            replies[lost] = 0
            self.assertEqual(self.pinger(replies).is_quiet(), is_quiet, lost)
