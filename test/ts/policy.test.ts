// The policy's language and what it decides.
import assert from 'node:assert/strict';
import { test } from 'uvu';
import { contains, parseAddress, parseSubnet } from '../../ts/src/address.js';
import { Policy } from '../../ts/src/policy.js';

const hex = (text: string) => {
  const bytes = parseAddress(text);
  return bytes && Buffer.from(bytes).toString('hex');
};

test('addresses', () => {
  assert.equal(hex('1.2.3.4'), '00000000000000000000ffff01020304');
  assert.equal(hex('::ffff:1.2.3.4'), '00000000000000000000ffff01020304');
  assert.equal(hex('::'), '00000000000000000000000000000000');
  assert.equal(hex('2001:db8::1'), '20010db8000000000000000000000001');
  assert.equal(hex('fe80::1%eth0'), 'fe800000000000000000000000000001');
  assert.equal(hex('1:2:3:4:5:6:7:8'), '00010002000300040005000600070008');
  for (const bad of [
    '',
    '1.2.3',
    '1.2.3.256',
    '01.2.3.4',
    '1:2',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7:8:9',
    'g::',
    '12345::',
  ]) {
    assert.equal(parseAddress(bad), null, bad);
  }
});

test('subnets', () => {
  const inside = (subnet: string, address: string) => {
    const parsed = parseSubnet(subnet);
    const bytes = parseAddress(address);
    assert.ok(parsed && bytes);
    return contains(parsed, bytes);
  };
  assert.ok(inside('10.0.0.0/8', '10.255.1.2'));
  assert.ok(!inside('10.0.0.0/8', '11.0.0.1'));
  assert.ok(inside('192.0.2.128/25', '192.0.2.200'));
  assert.ok(!inside('192.0.2.128/25', '192.0.2.100'));
  assert.ok(inside('fd00::/8', 'fd12::1'));
  assert.ok(inside('0.0.0.0/0', '1.2.3.4'));
  assert.ok(!inside('0.0.0.0/0', '2001:db8::1'));
  assert.ok(inside('::/0', '1.2.3.4'));
  for (const bad of ['10.0.0.0/33', '::/129', '10.0.0.0/x', '10.0.0.0/8/9', 'x/8']) {
    assert.equal(parseSubnet(bad), null, bad);
  }
});

test('without rules: listen on the user stack, connect where it is held', () => {
  const policy = new Policy();
  assert.equal(policy.decide('listen', '::', 80), 'user');
  assert.equal(policy.decide('connect', '10.0.0.1', 80), 'auto');
});

test('the first rule that matches decides', () => {
  const policy = new Policy('listen:*:8080=user, listen:*=os, connect:10.0.0.0/8=user,connect:*=os');
  assert.equal(policy.decide('listen', '0.0.0.0', 8080), 'user');
  assert.equal(policy.decide('listen', '::', 8081), 'os');
  assert.equal(policy.decide('connect', '10.9.9.9', 1), 'user');
  assert.equal(policy.decide('connect', '::ffff:10.9.9.9', 1), 'user');
  assert.equal(policy.decide('connect', '::1', 1), 'os');
});

test('ports, ranges and IPv6 in brackets', () => {
  const policy = new Policy([
    'listen:[::1]:80=os',
    'listen:[fd00::/8]=auto',
    'listen:127.0.0.1:8000-8999=os',
    'listen:*:*=user',
  ]);
  assert.equal(policy.decide('listen', '::1', 80), 'os');
  assert.equal(policy.decide('listen', '::1', 81), 'user');
  assert.equal(policy.decide('listen', 'fd00::5', 1), 'auto');
  assert.equal(policy.decide('listen', '127.0.0.1', 8000), 'os');
  assert.equal(policy.decide('listen', '127.0.0.1', 8999), 'os');
  assert.equal(policy.decide('listen', '127.0.0.1', 9000), 'user');
});

test('a bad rule says where and what is allowed, in one line', () => {
  const cases: [text: string, what: RegExp][] = [
    ['listen', /rule 1, "listen": not a rule; allowed: listen\|connect:ADDRESS/],
    ['listen:*=user,accept:*=os', /rule 2, "accept:\*=os": "accept" is no call; allowed: listen, connect$/],
    ['listen:*=kernel', /"kernel" is no stack; allowed: user, os, auto$/],
    ['listen:host:80=os', /"host" is no address; allowed: /],
    ['listen:*:http=os', /"http" is no port; allowed: \*, 80, 8000-8999$/],
    ['listen:*:9-1=os', /"9-1" is no port/],
    ['listen:*:65536=os', /"65536" is no port/],
    ['listen:::1=os', /no address|not a rule|no port/],
  ];
  for (const [text, what] of cases) {
    assert.throws(
      () => new Policy(text, 'MULTISTACK_POLICY'),
      (error: NodeJS.ErrnoException) => {
        assert.equal(error.code, 'ERR_INVALID_ARG_VALUE');
        assert.match(error.message, /^MULTISTACK_POLICY: [^\n]+$/);
        assert.match(error.message, what);
        return true;
      },
    );
  }
});

test.run();
