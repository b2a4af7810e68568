# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents of domains as others write them, composed at random: virt-manager, virt-install, nova, kubevirt, vagrant-libvirt, cockpit, and by hand."""

from __future__ import annotations

import random
import typing as t
import xml.etree.ElementTree as ET

METADATA = (
    "",
    '<libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">'
    '<libosinfo:os id="http://debian.org/debian/12"/></libosinfo:libosinfo>',
    '<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"><nova:name>vm</nova:name><nova:owner><nova:user uuid="1">a</nova:user>'
    "</nova:owner></nova:instance>",
    '<cockpit_machines:data xmlns:cockpit_machines="https://github.com/cockpit-project/cockpit/tree/main/pkg/machines">'
    "<cockpit_machines:has_install_phase>false</cockpit_machines:has_install_phase></cockpit_machines:data>",
    '<kubevirt xmlns="http://kubevirt.io"><uid>u-1</uid><graceperiod><deletionGracePeriodSeconds>30</deletionGracePeriodSeconds></graceperiod></kubevirt>',
    '<one:vm xmlns:one="http://opennebula.org/xmlns/libvirt/1.0"><one:system_datastore><![CDATA[/var/lib/one/0/7]]></one:system_datastore>'
    "<one:name><![CDATA[a & b]]></one:name></one:vm>",
)
MEMORY = (
    '<memory unit="KiB">1048576</memory><currentMemory unit="KiB">1048576</currentMemory>',
    '<memory unit="MiB" dumpCore="off">2048</memory><currentMemory unit="MiB">1024</currentMemory>',
    '<maxMemory slots="16" unit="KiB">16777216</maxMemory><memory unit="GiB">4</memory><currentMemory unit="GiB">4</currentMemory>',
    "<memory>524288</memory>",
)
TUNING = (
    '<memoryBacking><hugepages><page size="2048" unit="KiB"/></hugepages><nosharepages/><locked/><access mode="shared"/></memoryBacking>',
    '<numatune><memory mode="strict" nodeset="0"/></numatune>',
    '<blkiotune><weight>500</weight></blkiotune><memtune><hard_limit unit="KiB">8388608</hard_limit></memtune>',
    "<resource><partition>/machine/production</partition></resource>",
    '<sysinfo type="smbios"><system><entry name="manufacturer">OpenStack Foundation</entry></system></sysinfo>',
    "<iothreads>2</iothreads>",
    '<clock offset="utc"><timer name="rtc" tickpolicy="catchup"/><timer name="hpet" present="no"/></clock>',
    '<perf><event name="cmt" enabled="no"/></perf>',
    '<idmap><uid start="0" target="1000" count="10"/><gid start="0" target="1000" count="10"/></idmap>',
    '<keywrap><cipher name="aes" state="off"/></keywrap>',
    "<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>restart</on_crash>",
    '<pm><suspend-to-mem enabled="no"/><suspend-to-disk enabled="no"/></pm>',
    '<seclabel type="dynamic" model="apparmor" relabel="yes"/>',
    '<launchSecurity type="sev"><cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>0x0003</policy></launchSecurity>',
    '<features><acpi/><apic/><hyperv mode="custom"><relaxed state="on"/><spinlocks state="on" retries="8191"/></hyperv><vmport state="off"/>'
    '<ioapic driver="qemu"/></features>',
    '<qemu:commandline xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0"><qemu:arg value="-fw_cfg"/><qemu:arg value="name=a,string=b"/>'
    '<qemu:env name="A" value="b"/></qemu:commandline>',
)
NUMA = (
    '<numa><cell id="0" cpus="0-3" memory="1048576" unit="KiB" memAccess="shared"/></numa>',
    '<numa><cell id="0" cpus="0-1" memory="1" unit="GiB"/><cell id="1" cpus="2-3" memory="1" unit="GiB"/></numa>',
)
TOPOLOGY = (
    '<topology sockets="1" dies="1" cores="2" threads="2"/>',
    '<topology sockets="4" cores="1" threads="1"/>',
    '<topology sockets="2" cores="1" threads="2"/>',
)
CPU = (
    '<cpu mode="host-passthrough" check="none" migratable="off">{}<cache mode="passthrough"/><feature policy="require" name="vmx"/></cpu>',
    '<cpu mode="host-model" check="partial">{}<feature policy="disable" name="svm"/></cpu>',
    '<cpu mode="custom" match="exact" check="partial"><model fallback="allow">Skylake-Client</model><vendor>Intel</vendor>{}'
    '<feature policy="require" name="pcid"/><feature policy="force" name="ss"/></cpu>',
    "<cpu>{}</cpu>",
    '<cpu mode="maximum" check="none" migratable="on">{}<maxphysaddr mode="passthrough"/></cpu>',
    '<cpu mode="custom" match="strict"><model fallback="forbid">EPYC-Rome</model>{}<feature policy="optional" name="x2apic"/></cpu>',
)
OS = (
    '<type arch="x86_64" machine="pc-q35-7.2">hvm</type>{}<bootmenu enable="yes" timeout="3000"/>',
    '<type arch="x86_64" machine="pc-i440fx-6.2">hvm</type>{}<smbios mode="sysinfo"/>',
    '<type arch="x86_64" machine="pc-q35-6.2">hvm</type><loader readonly="yes" secure="yes" type="pflash">/usr/share/OVMF/OVMF_CODE_4M.ms.fd</loader>'
    '<nvram template="/usr/share/OVMF/OVMF_VARS_4M.ms.fd">/var/lib/libvirt/qemu/nvram/vm_VARS.fd</nvram>{}',
    '<type arch="x86_64" machine="q35">hvm</type>{}<smbios mode="sysinfo"/><bios useserial="yes" rebootTimeout="0"/>',
    '<type machine="pc">hvm</type><kernel>/boot/vmlinuz</kernel><initrd>/boot/initrd</initrd><cmdline>root=/dev/vda console=ttyS0</cmdline>{}',
)
PCI = '<address type="pci" domain="0x0000" bus="0x0{}" slot="0x0{}" function="0x0"/>'
DISKS = (
    '<disk type="file" device="disk"><driver name="qemu" type="qcow2" cache="none" io="native" discard="unmap" queues="4"/>'
    '<source file="/srv/{n}.qcow2" startupPolicy="optional"><seclabel model="dac" relabel="no"/></source>'
    '<target dev="vd{a}" bus="virtio"/><serial>S{n}</serial><iotune><total_bytes_sec>1000000</total_bytes_sec></iotune>{boot}{pci}</disk>',
    '<disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="/srv/{n}.s1"/><backingStore type="file"><format type="qcow2"/>'
    '<source file="/srv/{n}.qcow2"/><backingStore/></backingStore><target dev="sd{a}" bus="sata" rotation_rate="1"/>{boot}<alias name="ua-{n}"/></disk>',
    '<disk type="block" device="disk" snapshot="no"><driver name="qemu" type="raw" iothread="1"/>'
    '<source dev="/dev/vg/{n}"><reservations managed="yes"/></source>'
    '<target dev="vd{a}" bus="virtio"/><shareable/><wwn>5000c50015ea71aa</wwn>{boot}</disk>',
    '<disk type="network" device="disk"><driver name="qemu" type="raw"/><auth username="nova"><secret type="ceph" uuid="11111111-2222-3333-4444-555555555555"/>'
    '</auth><source protocol="rbd" name="vms/{n}"><host name="mon1" port="6789"/></source><target dev="vd{a}" bus="virtio"/>{boot}</disk>',
    '<disk type="file" device="cdrom"><driver name="qemu" type="raw"/><source file="/srv/cidata-{n}.iso"/><target dev="sd{a}" bus="sata" tray="closed"/>'
    "<readonly/>{boot}</disk>",
    '<disk type="volume" device="disk"><driver name="qemu" type="raw"/>'
    '<source pool="default" volume="{n}.img" mode="host"/><target dev="vd{a}" bus="virtio"/></disk>',
    '<disk type="file" device="disk" model="virtio-non-transitional"><driver name="qemu" type="qcow2" cache="none" error_policy="stop" discard="unmap"/>'
    '<source file="/srv/{n}.qcow2"/><backingStore type="file"><format type="raw"/><source file="/srv/base.img"/></backingStore>'
    '<target dev="vd{a}" bus="virtio"/>{boot}<alias name="ua-disk{n}"/></disk>',
    '<disk type="file" device="disk"><driver name="qemu" type="raw"/><source file="/srv/{n}.img"/><target dev="sd{a}" bus="usb" removable="on"/>{boot}</disk>',
    '<disk type="file" device="disk"><driver name="qemu" type="raw"/><source file="/srv/{n}.img"/><target dev="sd{a}" bus="sd"/></disk>',
    '<disk type="file" device="disk"><driver name="qemu" type="qcow2" detect_zeroes="on"/><source file="/srv/{n}.qcow2"/><target dev="hd{a}" bus="ide"/>'
    '{boot}<address type="drive" controller="0" bus="0" target="0" unit="{n}"/></disk>',
    '<disk type="block" device="lun" rawio="yes"><driver name="qemu" type="raw"/><source dev="/dev/sd{a}"/><target dev="sd{a}" bus="scsi"/>{boot}</disk>',
    '<disk type="file" device="cdrom"><driver name="qemu"/><target dev="hd{a}" bus="ide"/><readonly/>{boot}</disk>',
    '<disk type="file" device="floppy"><driver name="qemu" type="raw"/><source file="/srv/{n}.vfd"/><target dev="fd{a}" bus="fdc"/></disk>',
    '<disk type="dir" device="disk"><driver name="qemu" type="fat"/><source dir="/srv/d{n}"/><target dev="vd{a}" bus="virtio"/><readonly/></disk>',
    '<disk type="vhostuser" device="disk" snapshot="no"><driver name="qemu" type="raw" queues="2"/><source type="unix" path="/run/spdk{n}"/>'
    '<target dev="vd{a}" bus="virtio"/>{boot}</disk>',
)
NICS = (
    '<interface type="network"><mac address="{mac}"/><source network="default" portgroup="old"/><model type="virtio"/>'
    '<driver name="vhost" queues="4" rx_queue_size="1024"/><bandwidth><inbound average="1000"/></bandwidth>{boot}{pci}</interface>',
    '<interface type="bridge"><mac address="{mac}"/><source bridge="br0"/><virtualport type="openvswitch"><parameters interfaceid="{uuid}" profileid="p"/>'
    '</virtualport><vlan trunk="yes"><tag id="42" nativeMode="tagged"/><tag id="47"/></vlan><target dev="tap{n}"/><model type="virtio"/>'
    '<driver><host csum="off" mrg_rxbuf="off"/></driver><mtu size="9000"/>{boot}</interface>',
    '<interface type="hostdev" managed="yes"><mac address="{mac}"/>'
    '<source><address type="pci" domain="0x0000" bus="0x03" slot="0x1{n}" function="0x0"/>'
    '</source><vlan><tag id="10"/></vlan><teaming type="transient" persistent="ua-x"/>{boot}</interface>',
    '<interface type="direct" trustGuestRxFilters="yes"><mac address="{mac}"/>'
    '<source dev="eth{n}" mode="passthrough"/><model type="virtio"/>{boot}</interface>',
    '<interface type="vhostuser"><mac address="{mac}"/><source type="unix" path="/run/vhu{n}" mode="server"><reconnect enabled="yes" timeout="10"/></source>'
    '<target dev="vhu{n}"/><model type="virtio"/><driver queues="2" rx_queue_size="1024"/>{boot}</interface>',
    '<interface type="ethernet"><mac address="{mac}"/><target dev="t{n}" managed="no"/><model type="e1000"/><link state="down"/></interface>',
    '<interface type="user"><mac address="{mac}"/><model type="rtl8139"/><rom enabled="no" file="/srv/rom"/></interface>',
    '<interface type="ethernet"><mac address="{mac}"/><target dev="tap{n}" managed="no"/><model type="virtio-non-transitional"/><mtu size="1450"/>'
    '<alias name="ua-default{n}"/><rom enabled="no"/>{boot}</interface>',
    '<interface type="udp"><mac address="{mac}"/><source address="127.0.0.2" port="900{n}"><local address="127.0.0.1" port="910{n}"/></source>'
    '<model type="virtio"/></interface>',
    '<interface type="network"><mac address="{mac}"/><source network="vagrant-libvirt"/><model type="e1000e"/>'
    '<driver iommu="on" ats="on"/><ip address="192.0.2.{n}" family="ipv4" prefix="24"/>{boot}</interface>',
    '<interface type="vdpa"><mac address="{mac}"/><source dev="/dev/vhost-vdpa-{n}"/>{boot}</interface>',
    '<interface type="bridge"><mac address="{mac}"/><source bridge="br-int"/><virtualport type="openvswitch"><parameters interfaceid="{uuid}"/></virtualport>'
    '<target dev="tap{n}"/><model type="virtio"/><driver name="vhost" rx_queue_size="512"/><mtu size="1442"/><coalesce><rx><frames max="7"/></rx></coalesce>'
    '<port isolated="yes"/>{boot}</interface>',
    '<interface type="bridge"><mac address="{mac}"/><source bridge="virbr7"/><model type="e1000"/><filterref filter="clean-traffic">'
    '<parameter name="IP" value="192.0.2.1"/></filterref></interface>',
)
SERIALS = (
    '<serial type="pty"><log file="/var/log/c{n}.log" append="on"/><target type="isa-serial" port="{n}"><model name="isa-serial"/></target>'
    '<alias name="ua-s{n}"/></serial>',
    '<serial type="tcp"><source mode="bind" host="127.0.0.1" service="455{n}" tls="no"/><protocol type="telnet"/><target port="{n}"/></serial>',
    '<serial type="unix"><source mode="connect" path="/run/s{n}"><reconnect enabled="yes" timeout="2"/></source><target port="{n}"/></serial>',
    '<serial type="file"><source path="/var/tmp/s{n}" append="on"/><target port="{n}"/></serial>',
    '<serial type="unix"><source mode="bind" path="/run/serial{n}"/><log file="/run/serial{n}-log" append="on"/><target type="isa-serial" port="{n}"/>'
    '<alias name="serial{n}"/></serial>',
    '<serial type="tcp"><source mode="bind" host="0.0.0.0" service="1000{n}"/><protocol type="raw"/><log file="/var/lib/nova/console.log" append="off"/>'
    '<target port="{n}"/></serial>',
    '<serial type="udp"><source mode="bind" host="0.0.0.0" service="100{n}"/>'
    '<source mode="connect" host="192.0.2.1" service="200{n}"/><target port="{n}"/></serial>',
    '<serial type="null"><target port="{n}"/></serial>',
)
CONSOLES = (
    '<console type="pty"><target type="virtio" port="1"/></console>',
    '<console type="unix"><source mode="bind" path="/run/c2"/><target type="virtio" port="2"/></console>',
)
GRAPHICS = {
    "vnc": '<graphics type="vnc" port="5907" autoport="no" keymap="de" sharePolicy="force-shared" passwd="hidden" passwdValidTo="2030-01-01T00:00:00">'
    '<listen type="address" address="0.0.0.0"/></graphics>',
    "spice": '<graphics type="spice" port="5930" tlsPort="5931" autoport="no" keymap="fr"><listen type="address"/><image compression="off"/>'
    '<streaming mode="filter"/><clipboard copypaste="no"/><filetransfer enable="no"/><gl enable="no"/></graphics>',
    "dbus": '<graphics type="dbus" p2p="yes"><gl enable="yes"/></graphics>',
    "sdl": '<graphics type="sdl" display=":0.0" xauth="/run/xauthority"/>',
    "egl": '<graphics type="egl-headless"><gl rendernode="/dev/dri/renderD128"/></graphics>',
}
VIDEO = (
    '<video><model type="qxl" ram="65536" vram="65536" vgamem="16384" heads="2" primary="yes"/>{}</video>',
    '<video><model type="virtio" heads="1" primary="yes"><acceleration accel3d="yes"/><resolution x="1920" y="1080"/></model>{}</video>',
)
TPM = (
    '<tpm model="tpm-crb"><backend type="emulator" version="2.0" persistent_state="yes"><encryption secret="6dd3e4a5-1d76-44ce-961f-f119f5aad935"/>'
    "</backend></tpm>",
    '<tpm model="tpm-tis"><backend type="passthrough"><device path="/dev/tpm0"/></backend></tpm>',
)
OTHERS = (
    '<hostdev mode="subsystem" type="pci" managed="yes"><driver name="vfio"/><source><address domain="0x0000" bus="0x06" slot="0x12" function="0x5"/></source>'
    '<rom bar="off"/></hostdev>',
    '<hostdev mode="subsystem" type="usb" managed="no"><source startupPolicy="optional"><vendor id="0x1234"/><product id="0xbeef"/></source></hostdev>',
    '<hostdev mode="subsystem" type="mdev" model="vfio-pci"><source><address uuid="c2177883-f1bb-47f0-914d-32a22e3a8804"/></source></hostdev>',
    '<channel type="unix"><source mode="bind"/><target type="virtio" name="org.qemu.guest_agent.0"/><alias name="ua-agent"/></channel>',
    '<channel type="unix"><target type="virtio" name="org.example.port"/></channel>',
    '<controller type="pci" index="0" model="pcie-root"/>',
    '<controller type="scsi" index="0" model="virtio-scsi"><driver queues="4" iothread="1"/></controller>',
    '<controller type="usb" index="0" model="qemu-xhci" ports="15"/>',
    '<controller type="ide" index="0"/>',
    '<iommu model="intel"><driver intremap="on" caching_mode="on"/></iommu>',
    '<memballoon model="virtio" autodeflate="on"><stats period="10"/></memballoon>',
    '<rng model="virtio"><rate bytes="1024" period="1000"/><backend model="random">/dev/urandom</backend></rng>',
    '<vsock model="virtio"><cid auto="no" address="5"/></vsock>',
    '<filesystem type="mount" accessmode="passthrough"><driver type="virtiofs" queue="1024"/><source dir="/srv"/><target dir="srv"/></filesystem>',
    '<sound model="ich9"><codec type="duplex"/></sound>',
    '<input type="tablet" bus="usb"/>',
    '<watchdog model="i6300esb" action="reset"/>',
    '<panic model="isa"/>',
    "<emulator>/usr/bin/qemu-system-x86_64</emulator>",
    '<audio id="1" type="spice"/>',
    '<redirdev bus="usb" type="spicevmc"/>',
    '<channel type="spicevmc"><target type="virtio" name="com.redhat.spice.0"/></channel>',
    '<controller type="usb" index="1" model="ich9-ehci1"/>',
    '<controller type="usb" index="1" model="ich9-uhci1"><master startport="0"/></controller>',
    '<controller type="pci" index="5" model="pcie-root-port"><target chassis="5" port="0x14"/></controller>',
    '<controller type="virtio-serial" index="0" model="virtio-non-transitional" ports="8"/>',
    '<shmem name="shm0"><model type="ivshmem-plain"/><size unit="M">4</size></shmem>',
    '<smartcard mode="passthrough" type="spicevmc"/>',
    '<hub type="usb"/>',
    '<memory model="nvdimm" access="shared"><source><path>/srv/nvdimm</path></source><target><size unit="MiB">512</size>'
    '<label><size unit="KiB">128</size></label>'
    "</target></memory>",
    '<parallel type="file"><source path="/var/tmp/lp0"/><target port="0"/></parallel>',
    '<hostdev mode="subsystem" type="scsi" sgio="filtered"><source><adapter name="scsi_host2"/><address bus="0" target="0" unit="3"/></source></hostdev>',
)


class Compose:
    """One document from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.order = 0

    def one(self, values: t.Sequence[str]) -> str:
        return self.random.choice(values)

    def some(self, values: t.Sequence[str], most: int) -> list[str]:
        return self.random.sample(list(values), self.random.randint(0, min(most, len(values))))

    def boot(self, ordered: bool) -> str:
        if not ordered or self.random.random() < 0.4:
            return ""
        self.order += 1
        return f'<boot order="{self.order}"/>'

    def document(self) -> ET.Element:
        """A domain called vm1."""
        ordered = self.random.random() < 0.4
        shaped = self.random.random() < 0.5
        cells = self.one(("", "", *NUMA))
        inner = (self.one(TOPOLOGY) if shaped else "") + cells
        cpu = self.one(("", *CPU)) if not inner else self.one(CPU)
        vcpu = (
            '<vcpu placement="static" cpuset="0-3">4</vcpu>'
            if inner
            else self.one(('<vcpu current="2">4</vcpu>', "<vcpu>2</vcpu>", '<vcpu placement="auto">4</vcpu>'))
        )
        pins = '<cputune><shares>2048</shares><vcpupin vcpu="0" cpuset="0"/><vcpupin vcpu="1" cpuset="1"/><emulatorpin cpuset="0"/></cputune>'
        os = self.one(OS).format(
            "" if ordered else self.one(("", '<boot dev="hd"/>', '<boot dev="network"/><boot dev="hd"/>'))
        )
        parts = [
            self.one(("", "", "<genid>43dc0cf8-809b-4adb-9bea-a9abb5f3d90e</genid>")),
            self.one(("", "<title>Old title</title>")),
            self.one(("", "<description>Somebody's\n server</description>")),
        ]
        metadata = self.one(METADATA)
        parts += [
            f"<metadata>{metadata}</metadata>" if metadata else "",
            self.one(MEMORY),
            vcpu,
            self.one(("", pins)),
            f"<os>{os}</os>",
            cpu.format(inner),
        ]
        kind = self.one(("kvm", "qemu"))
        text = (
            f'<domain type="{kind}"><name>vm1</name>'
            + "".join(parts + self.some(TUNING, 6))
            + f"<devices>{self.devices(ordered)}</devices></domain>"
        )
        return ET.fromstring(text)

    def devices(self, ordered: bool) -> str:
        parts = []
        for number in range(self.random.randint(0, 4)):
            pci = self.one(("", PCI.format(1, number)))
            parts.append(self.one(DISKS).format(n=number, a="abcdefgh"[number], boot=self.boot(ordered), pci=pci))
        for number in range(self.random.randint(0, 4)):
            pci = self.one(("", PCI.format(2, number)))
            mac, uuid = f"52:54:00:0a:00:0{number}", f"11111111-2222-3333-4444-55555555555{number}"
            parts.append(self.one(NICS).format(n=number, mac=mac, uuid=uuid, boot=self.boot(ordered), pci=pci))
        serials = self.random.randint(0, 2)
        parts += [self.one(SERIALS).format(n=number) for number in range(serials)]
        if serials and self.random.random() < 0.5:
            parts.append('<console type="pty"><target type="serial" port="0"/></console>')
        parts += self.some(CONSOLES, 1) + self.some(list(GRAPHICS.values()), 2)
        for number, video in enumerate(self.some(VIDEO, 2)):
            parts.append(
                video.format(self.one(("", PCI.format(3, number)))).replace(
                    ' primary="yes"', "" if number else ' primary="yes"'
                )
            )
        parts += self.some(TPM, 1) + self.some(OTHERS, 8)
        self.random.shuffle(parts)
        return "".join(parts)
