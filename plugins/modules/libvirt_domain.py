#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_domain
short_description: Manage guests of libvirt by typed options
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Makes, changes, starts, stops and removes guests, one by plain options or many by O(domains), without any XML.
  - Only declared options are compared, with the guest's inactive document, so what libvirt adds by itself is never a change.
  - A definition is patched. An option changes its own element, and all that it does not state stays. A change that draws others after it
    shows them in the diff as C(besides).
  - A guest without a mark of O(owner) is not changed where that would replace what others set, unless O(adopt=true).
  - NICs and disks of a running guest are attached, changed and detached at once, and persistently. What needs a restart is told in
    RV(restart_required) and RV(restart_reasons), and done only with O(restart).
  - A NIC's VLAN is also compared with the port of Open vSwitch that carries the running guest.
  - Guests are started and shut down side by side.
requirements:
  - libvirt-python (the package C(python3-libvirt)), libvirt 6.0 or newer
  - qemu-img, to make and grow files
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  domains:
    description:
      - Several guests in one call; each item takes the options of a single one.
      - For guests that O(purge) removes, the options of the task itself say how (O(shutdown_timeout), O(force), O(remove_storage)).
    type: list
    elements: dict
    suboptions:
      name:
        description: The guest's name, an exact match.
        type: str
        required: true
      state: &state
        description:
          - V(present) defines the guest and leaves it running or not.
          - V(running), V(shutoff) and V(paused) define it and bring it there.
          - V(absent) removes it. Its disks stay unless O(remove_storage); a cloud-init seed goes with it.
          - A guest that was there before it was adopted is given back instead of removed, also by O(purge). It loses the mark, gets back the
            NICs and settings that it had, but for those that its owner has changed since and for passwords, and runs on. O(adopt=true) removes it.
          - A guest that was migrated to another host is not started here, and one that was migrated here is not removed while it runs.
        type: str
        choices: [present, running, shutoff, paused, absent]
        default: present
      uuid: &uuid
        description: The guest's UUID. By default it follows from O(owner) and the name, so that it is the same wherever the guest is made again.
        type: str
      title: &title
        description: A title of one line. Empty removes it.
        type: str
      description: &description
        description: A description. Empty removes it.
        type: str
      metadata: &metadata
        description: Texts that are kept with the guest. Empty removes them.
        type: dict
      accelerator: &accelerator
        description:
          - V(kvm) or emulation, V(tcg). V(auto), the default for a new guest, takes KVM where a boot sector is really executed with it.
            It is tried once a boot of the host.
        type: str
        choices: [auto, kvm, tcg]
      machine: &machine
        description: The machine type. An alias (V(q35), V(pc)) stands for each of its versions, so an upgrade of QEMU changes nothing.
        type: str
      firmware: &firmware
        description: The firmware that a guest boots with.
        type: str
        choices: [bios, efi]
      memory: &memory
        description: Memory with its unit, such as V(512MiB) or V(2GiB). A new guest needs it.
        type: str
      vcpus: &vcpus
        description:
          - The number of virtual CPUs that the guest starts with.
          - Where the definition names single CPUs (a topology, NUMA cells, pins), fewer of them are present at the start and the rest can be plugged in.
        type: int
      cpu_mode: &cpu_mode
        description: How the CPU is chosen.
        type: str
        choices: [custom, host-model, host-passthrough, maximum]
      cpu_model: &cpu_model
        description: The CPU's model, such as V(qemu64), with O(cpu_mode=custom).
        type: str
      boot: &boot
        description:
          - The kinds of device to boot from, in this order. An order on single devices, which libvirt takes instead, is removed.
          - Excludes C(boot_order) of disks and NICs.
        type: list
        elements: str
        choices: [hd, cdrom, network, fd]
      kernel: &kernel
        description: Path of a kernel that is booted directly. Empty removes it.
        type: str
      initrd: &initrd
        description: Path of the initramfs of O(kernel). Empty removes it.
        type: str
      cmdline: &cmdline
        description: Command line of O(kernel). Empty removes it.
        type: str
      autostart: &autostart
        description: Whether the guest starts with the host. By default a new guest does when its state is V(running).
        type: bool
      disks: &disks
        description:
          - All disks of the guest that are files, block devices or volumes, but for a cloud-init seed.
            Those that are not listed are taken out (their files stay).
          - A disk whose backing chain leads to the declared image is that disk. Snapshots upon it stay, and the definition never goes back beneath them.
            Where the chain cannot be read, the disk is left alone with a warning.
        type: list
        elements: dict
        suboptions:
          target:
            description: The disk's name, such as V(vda). By default the next free one of its bus in the order of the list. Its letters need not
              be those of the bus, such as V(hda) on V(virtio), which other tools leave behind.
            type: str
          device:
            description: The kind of device.
            type: str
            choices: [disk, cdrom, floppy]
            default: disk
          bus:
            description: The bus; by default the one on which the disk is, and for a new one V(sata) for a cdrom, V(fdc) for a floppy, and
              for a disk that of the letters of its target, V(ide) for V(hda) and V(scsi) for V(sda), else V(virtio).
            type: str
            choices: [virtio, ide, sata, scsi, usb, fdc]
          path:
            description:
              - The file or block device. Empty ejects a cdrom.
              - By default, when a size or a backing file is given, a file of the guest's and the disk's name in C(/var/lib/libvirt/images).
            type: str
          pool:
            description: The pool of C(volume), instead of C(path).
            type: str
          volume:
            description: A volume's name in C(pool).
            type: str
          format:
            description: The image's format. What the file holds is checked against it. V(qcow2) by default for an image that is made.
            type: str
            choices: [raw, qcow2, vmdk, vdi, vhdx, vpc]
          size:
            description: Makes an image of this size when there is none, such as V(10GiB); grows a smaller one. Never shrinks.
            type: str
          backing_path:
            description: The image that a new image lies upon. It must not change from then on.
            type: str
          backing_format:
            description: The format of C(backing_path).
            type: str
            choices: [raw, qcow2, vmdk]
            default: qcow2
          readonly:
            description: Whether the guest may only read.
            type: bool
          shareable:
            description: Whether several guests may write.
            type: bool
          cache:
            description: The host's caching.
            type: str
            choices: [default, none, writethrough, writeback, directsync, unsafe]
          discard:
            description: What becomes of blocks that the guest discards.
            type: str
            choices: [ignore, unmap]
          serial:
            description: The disk's serial number. Empty removes it.
            type: str
          boot_order:
            description: The place in the boot order, from 1; 0 removes it.
            type: int
      cloud_init: &cloud_init
        description:
          - A seed for cloud-init's NoCloud source, written without a network and attached as a disk. The guest reads it at its next boot.
          - Empty removes the seed.
        type: dict
        suboptions:
          user_data:
            description: The user data, as a text or as a mapping (then a C(#cloud-config)).
            type: raw
          meta_data:
            description: The metadata, as a text or a mapping. C(instance-id) and C(local-hostname) are filled in.
            type: raw
          network_config:
            description: The network configuration, as a text or a mapping.
            type: raw
          bus:
            description: The bus of the seed's disk, a cdrom but for V(virtio).
            type: str
            choices: [ide, sata, scsi, usb, virtio]
            default: sata
      nics: &nics
        description:
          - The NICs of the guest, in the order in which the guest counts them.
          - A NIC is known by its MAC address. One that is declared without is the NIC which already is what is declared, or is plugged in there,
            or else the one in its place among those of its kind.
          - A NIC that was declared once and is not listed any more is taken out. One that others added is left alone.
        type: list
        elements: dict
        suboptions:
          mac:
            description: The MAC address. By default it follows from O(owner), the guest's name and the NIC's place.
            type: str
          model:
            description: The NIC's model, such as V(virtio), V(e1000). V(virtio) for a new NIC.
            type: str
          network:
            description: The libvirt network that the NIC is plugged into.
            type: str
          portgroup:
            description: The portgroup of C(network). Empty removes it.
            type: str
          interface_id:
            description:
              - A UUID by which a controller knows the port in Open vSwitch (C(external_ids:iface-id)), such as OVN its logical port. For a NIC on a
                network or bridge of Open vSwitch. A NIC without gets one of libvirt's choice at each start.
            type: str
          bridge:
            description: The bridge that the NIC is plugged into, instead of C(network).
            type: str
          ovs:
            description: Whether C(bridge) is an Open vSwitch bridge.
            type: bool
            default: true
          direct:
            description: The host's interface that the NIC is a macvtap device of, instead of C(network).
            type: str
          direct_mode:
            description: The mode of C(direct). V(bridge) for a new NIC.
            type: str
            choices: [bridge, vepa, private, passthrough]
          hostdev:
            description: The PCI address of the virtual function (SR-IOV) that is the NIC, such as V(0000:03:10.0), instead of C(network).
            type: str
          vhostuser:
            description: The socket of the userspace switch that the NIC is a vhost-user port of, instead of C(network).
            type: str
          vhostuser_mode:
            description: Which end of the socket QEMU is. V(server) for a new NIC, as ports of type C(dpdkvhostuserclient) need it.
            type: str
            choices: [server, client]
          vlan:
            description: The VLAN of an access port. 0 removes it.
            type: int
          trunks:
            description: The VLANs of a trunk port, ids and ranges such as V(20-29). Empty removes them.
            type: list
            elements: str
          native_vlan:
            description: The native VLAN of C(trunks).
            type: int
          native_mode:
            description: Whether frames of C(native_vlan) leave untagged, as they do by default, or tagged.
            type: str
            choices: [untagged, tagged]
          dev:
            description: The name of the host's end. Empty leaves it to libvirt.
            type: str
          link:
            description: The state of the link.
            type: str
            choices: [up, down]
          mtu:
            description: The MTU, of the host's end and told to a virtio guest. 0 removes it.
            type: int
          queues:
            description: The number of queues of a virtio NIC. 0 removes it.
            type: int
          offload:
            description:
              - Whether a virtio NIC leaves checksums and the cutting up of large packets to its host.
              - With V(auto) it does not where the NIC is on an Open vSwitch bridge that forwards in user space, which loses such packets and TCP with
                them while pings pass; elsewhere it does.
            type: str
            choices: [auto, "on", "off"]
          rom:
            description: Whether the NIC has its boot ROM. Without it a guest that does not boot from the network starts sooner.
            type: bool
          boot_order:
            description: The place in the boot order, from 1; 0 removes it.
            type: int
      serial: &serial
        description: The first serial port and the console on it. Empty removes both. A new guest gets one of type V(pty).
        type: dict
        suboptions:
          type:
            description: The host's end; V(pty) by default.
            type: str
            choices: [pty, tcp, unix, file]
          host:
            description: The address that V(tcp) listens on, V(127.0.0.1) by default.
            type: str
          port:
            description: The port that V(tcp) listens on.
            type: int
          path:
            description: The socket of V(unix), the file of V(file).
            type: str
          log:
            description: A file that gets all that the guest writes, which M(overloom.fabric.guest_wait) reads. Empty removes it.
            type: str
      graphics: &graphics
        description: The graphical consoles, one of a kind. Empty removes them. Consoles of other kinds are left alone.
        type: list
        elements: dict
        suboptions:
          type:
            description: The kind.
            type: str
            choices: [vnc, spice]
            default: vnc
          listen:
            description: The address to listen on. Empty leaves it to libvirt.
            type: str
          port:
            description: The port. 0 leaves it to libvirt.
            type: int
          password:
            description: The password. Empty removes it.
            type: str
      video: &video
        description: The model of the graphics card, such as V(virtio) or V(none).
        type: str
      tpm: &tpm
        description: A trusted platform module. Empty removes it.
        type: dict
        suboptions:
          model:
            description: The model that the guest sees.
            type: str
            choices: [tpm-tis, tpm-crb, tpm-spapr]
          backend:
            description: What is behind it; V(emulator) by default.
            type: str
            choices: [emulator, passthrough]
          version:
            description: The version of V(emulator).
            type: str
            choices: ["1.2", "2.0"]
          device:
            description: The device of V(passthrough), V(/dev/tpm0) by default.
            type: str
      hostdevs: &hostdevs
        description:
          - The host's devices that are passed to the guest. Those that are not listed are taken back.
          - Devices that cannot be named so (mediated devices, SCSI) are left alone.
        type: list
        elements: dict
        suboptions:
          pci:
            description: A PCI device by its address, such as V(0000:01:00.0).
            type: str
          usb:
            description: A USB device by vendor and product, such as V(046d:c077).
            type: str
      guest_agent: &guest_agent
        description: Whether the guest has the channel of the QEMU guest agent.
        type: bool
      xml: &xml
        description:
          - What no option says, as a C(<domain>) document with only these elements. They are compared element by element.
          - A device of a kind that an option declares is refused, but for a NIC with a MAC address of its own.
        type: str
      remove_storage: &remove_storage
        description:
          - With V(absent), also remove the files and volumes that this module made for the guest. Others are never removed.
          - An image that another lies upon (a snapshot that somebody took, a clone) stays, with a warning that names both.
        type: bool
        default: false
      shutdown_timeout: &shutdown_timeout
        description: Seconds that a guest may take to shut down. With 0 it is switched off at once.
        type: int
        default: 60
      force: &force
        description: Whether a guest that has not shut down in time is switched off. Without it that is an error.
        type: bool
        default: false
      restart: &restart
        description: Whether a running guest is restarted when a declared change needs it.
        type: bool
        default: false
  name:
    description: The guest's name, an exact match.
    type: str
  uri:
    description: The URI that libvirt is connected to by.
    type: str
    default: qemu:///system
  state: *state
  uuid: *uuid
  title: *title
  description: *description
  metadata: *metadata
  accelerator: *accelerator
  machine: *machine
  firmware: *firmware
  memory: *memory
  vcpus: *vcpus
  cpu_mode: *cpu_mode
  cpu_model: *cpu_model
  boot: *boot
  kernel: *kernel
  initrd: *initrd
  cmdline: *cmdline
  autostart: *autostart
  disks: *disks
  cloud_init: *cloud_init
  nics: *nics
  serial: *serial
  graphics: *graphics
  video: *video
  tpm: *tpm
  hostdevs: *hostdevs
  guest_agent: *guest_agent
  xml: *xml
  remove_storage: *remove_storage
  shutdown_timeout: *shutdown_timeout
  force: *force
  restart: *restart
"""

EXAMPLES = r"""
- name: A guest on VLAN 10 of the fabric
  overloom.fabric.libvirt_domain:
    name: web1
    state: running
    memory: 512MiB
    vcpus: 2
    machine: q35
    disks:
      - size: 10GiB
        backing_path: /var/lib/libvirt/images/debian-12.qcow2
    nics:
      - network: fabric
        portgroup: blue
        mtu: 1450
    cloud_init:
      user_data:
        users:
          - name: admin
            ssh_authorized_keys: ["ssh-ed25519 AAAA..."]
    guest_agent: true

- name: Two guests, and none besides them
  overloom.fabric.libvirt_domain:
    domains:
      - name: r1
        state: running
        memory: 256MiB
        nics: [{network: fabric, portgroup: blue}, {network: fabric, portgroup: red}]
      - name: r2
        state: shutoff
        memory: 256MiB
    purge: true
    force: true

- name: Remove a guest with the disks that were made for it
  overloom.fabric.libvirt_domain:
    name: web1
    state: absent
    remove_storage: true
    force: true
"""

RETURN = r"""
commands:
  description: The virsh commands that do the same, in order; in check mode those that would be done. Secrets are masked.
  returned: always
  type: list
  elements: str
  sample: ["virsh start web1"]
domains:
  description: The declared guests as they are, typed.
  returned: always
  type: dict
  sample: {web1: {state: running, memory: 512MiB, vcpus: 2, restart_required: []}}
restart_reasons:
  description: The same one by one, with the reason. Every run returns them until the guest has been restarted.
  returned: always
  type: list
  elements: dict
  sample: [{name: web1, option: memory, reason: "the guest runs with 512MiB, 1GiB is declared"}]
restart_required:
  description: For each running guest that is not yet as declared, the options that wait for its restart.
  returned: always
  type: dict
  sample: {web1: [memory]}
spawned:
  description: The number of processes that the module started.
  returned: always
  type: int
  sample: 0
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import one_or_many
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_declaration import SPEC
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_plan import run
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    run(AnsibleModule(**one_or_many(SPEC, "domains", **owner_argument_spec())))


if __name__ == "__main__":
    main()
