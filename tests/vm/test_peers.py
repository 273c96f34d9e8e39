"""peers against QEMUs that only print: python3 -m unittest discover tests/vm"""

import io
import os
import stat
import tempfile
import unittest

from test_run_vm import KERNEL, program

peers = program('peers')


class Peers(unittest.TestCase):
    """Two whole runners; only QEMU is fake: it prints its command line and does what `then` says of the role in it."""

    def peers(self, then):
        with tempfile.TemporaryDirectory() as work:
            env = {'PATH': os.environ['PATH'], 'VM_ACCEL': 'tcg', 'KERNEL': os.path.join(work, 'kernel'), 'ROOT': __file__,
                   'KO': os.path.join(work, 'ko'), 'QEMU': os.path.join(work, 'qemu')}
            for name in 'KERNEL', 'KO':
                with open(env[name], 'wb') as f:
                    f.write(KERNEL)
            with open(env['QEMU'], 'w') as f:
                f.write('#!/bin/sh\necho "$*"\ncase "$*" in *path=*/ours0,remote*) role=ours ;; *) role=theirs ;; esac\n' + then)
            os.chmod(env['QEMU'], stat.S_IRWXU)
            out = io.StringIO()
            return peers.main([], env, out), out.getvalue()

    def test_pass(self):
        status, out = self.peers('echo VM-VERDICT: 0')
        self.assertEqual(status, 0)
        for here, there, address in ('ours', 'theirs', '02:00:5e:00:53:13'), ('theirs', 'ours', '02:00:5e:00:53:23'):
            command = [line for line in out.splitlines() if line.startswith(f'{here:6} ') and '-netdev' in line]
            self.assertEqual(len(command), 1)
            self.assertEqual(command[0].count('-netdev dgram'), 4)
            self.assertRegex(command[0], f'local.path=(/.*)/{here}3,remote.type=unix,remote.path=\\1/{there}3 .*mac={address}')

    def test_the_first_that_fails_ends_the_other(self):
        for role in 'ours', 'theirs':
            status, out = self.peers(f'[ $role = {role} ] || exec sleep 60\necho VM-VERDICT: 7')
            self.assertEqual(status, 7)

    def test_variables(self):
        ours, theirs = (peers.environment({'VM_ENV': "SUITE='a b'"}, 'w', *side) for side in (('ours', 'theirs', 1), ('theirs', 'ours', 2)))
        self.assertEqual(ours['VM_ENV'], "SUITE='a b' ROLE=ours")
        self.assertEqual(theirs['VM_ENV'], "SUITE='a b' ROLE=theirs LAGG_KO=/boot/kernel/if_lagg.ko")
        self.assertEqual(peers.environment({'THEIR_KO': 'x'}, 'w', 'theirs', 'ours', 2)['VM_ENV'], 'ROLE=theirs LAGG_KO=x')
